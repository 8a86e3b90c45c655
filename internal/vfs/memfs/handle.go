package memfs

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"

	"github.com/stratamq/stratamq/internal/vfs"
)

// errSyncLost is what a handle hears of a Sync that failed on another handle of the same file.
var errSyncLost = fmt.Errorf("an earlier write was lost: %w", ErrInjected)

// handle is an open file; its file system's mutex guards its fields.
type handle struct {
	fs       *FS
	name     string
	node     *inode
	seenErrs int // how many of the node's failed syncs this handle was told
	closed   bool
}

func (h *handle) do(kind Kind, off int64, n int, effect func() error) error {
	return h.fs.do(Op{Kind: kind, Path: h.name, Off: off, Len: n}, func() error {
		if h.closed {
			return vfs.ErrClosed
		}
		return effect()
	})
}

func (h *handle) Name() string { return h.name }

func (h *handle) ReadAt(p []byte, off int64) (n int, err error) {
	short := false
	err = h.do(OpRead, off, len(p), func() error {
		n, short = h.node.readAt(p, off)
		return nil
	})
	if err != nil {
		return 0, err
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (n *inode) readAt(p []byte, off int64) (read int, short bool) {
	if off >= n.size {
		return 0, len(p) > 0
	}
	read = int(min(int64(len(p)), n.size-off))
	n.pages.read(p[:read], off)
	return read, read < len(p)
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	// A short write is decided here rather than in do: it takes a part of the effect.
	op := Op{Kind: OpWrite, Path: h.name, Off: off, Len: len(p)}
	h.fs.mu.Lock()
	hook := h.fs.mu.hook
	h.fs.mu.Unlock()
	var fault Fault
	if hook != nil {
		fault = hook(op)
	}
	h.fs.mu.Lock()
	defer h.fs.mu.Unlock()
	fail := func(n int, err error) (int, error) {
		return n, &fs.PathError{Op: "write", Path: h.name, Err: err}
	}
	switch {
	case h.fs.mu.stopped:
		return fail(0, ErrCrashed)
	case h.closed:
		return fail(0, vfs.ErrClosed)
	case fault.Err != nil && !fault.Effect && fault.Short == 0:
		return fail(0, fault.Err)
	}
	n := len(p)
	if fault.Err != nil && !fault.Effect {
		n = min(n, fault.Short)
	}
	if h.growthLocked(off, n) > h.fs.freeLocked() {
		return fail(0, vfs.ErrNoSpace)
	}
	h.node.write(p[:n], off)
	h.node.modTime = h.fs.mu.now()
	if fault.Err != nil {
		return fail(n, fault.Err)
	}
	return n, nil
}

// WriteZeros is one write, with the faults of one.
func (h *handle) WriteZeros(off, n int64) error {
	p := zeros[:]
	if n > int64(len(p)) {
		p = make([]byte, n)
	}
	_, err := h.WriteAt(p[:n], off)
	return err
}

// growthLocked is how many bytes of disk a write takes that the file did not have.
func (h *handle) growthLocked(off int64, n int) int64 {
	if h.fs.mu.space == DefaultCapacity {
		return 0 // counting pages for a disk without end would only cost time
	}
	var pages int64
	for i := off / pageSize; i*pageSize < off+int64(n); i++ {
		if h.node.pages[i] == nil {
			pages++
		}
	}
	held := int64(len(h.node.pages)) * pageSize
	return max(0, held+pages*pageSize-max(held, h.node.reservedSize))
}

// Sync fails as Linux's does: by a fault without effect the pages count as clean all the same, and
// every other handle hears of it once.
func (h *handle) Sync() error {
	lost := true
	err := h.do(OpSync, 0, 0, func() error {
		lost = false
		h.node.sync()
		if h.seenErrs < h.node.syncErrs {
			h.seenErrs = h.node.syncErrs
			return errSyncLost
		}
		return nil
	})
	if err != nil && lost {
		h.fs.mu.Lock()
		defer h.fs.mu.Unlock()
		if !h.fs.mu.stopped && !h.closed {
			h.node.loseSome(h.fs.mu.rng)
			h.seenErrs = h.node.syncErrs
		}
	}
	return err
}

func (h *handle) Truncate(size int64) error {
	return h.do(OpTruncate, size, 0, func() error {
		h.node.truncate(size)
		h.node.modTime = h.fs.mu.now()
		return nil
	})
}

func (h *handle) Fallocate(off, n int64) error {
	return h.do(OpFallocate, off, int(n), func() error {
		grow := off + n - max(h.node.reservedSize, int64(len(h.node.pages))*pageSize)
		if grow > 0 && h.fs.mu.space != DefaultCapacity && grow > h.fs.freeLocked() {
			return vfs.ErrNoSpace
		}
		h.node.reservedSize = max(h.node.reservedSize, off+n)
		return nil
	})
}

func (h *handle) Size() (size int64, err error) {
	err = h.do(OpSize, 0, 0, func() error {
		size = h.node.size
		return nil
	})
	return size, err
}

func (h *handle) NextData(off int64) (next int64, err error) {
	err = h.do(OpNextData, off, 0, func() error {
		next = h.node.nextData(off)
		return nil
	})
	return next, err
}

// nextData goes by pages that hold a byte other than zero.
func (n *inode) nextData(off int64) int64 {
	next := n.size
	for i, page := range n.pages {
		if end := (i + 1) * pageSize; end <= off || page == &zeroPage || *page == zeroPage {
			continue
		}
		next = min(next, max(off, i*pageSize))
	}
	return next
}

func (h *handle) Map() (vfs.Mapping, error) {
	m := &mapping{h: h}
	err := h.do(OpMap, 0, 0, func() error {
		m.size = h.node.size
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (h *handle) Close() error {
	return h.do(OpClose, 0, 0, func() error {
		h.closed = true
		return nil
	})
}

// mapping reads its file as it is now; it outlives its handle.
type mapping struct {
	h     *handle
	size  int64
	ended bool
}

func (m *mapping) Len() int64 { return m.size }

func (m *mapping) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 || off >= m.size {
		return 0, io.EOF
	}
	n = int(min(int64(len(p)), m.size-off))
	err = m.h.fs.do(Op{Kind: OpMapRead, Path: m.h.name, Off: off, Len: n}, func() error {
		if m.ended {
			return vfs.ErrClosed
		}
		// A page that the file still reaches into reads as zeros behind its end.
		last := (m.h.node.size + pageSize - 1) / pageSize * pageSize
		if off+int64(n) > last {
			return vfs.ErrFault
		}
		m.h.node.pages.read(p[:n], off)
		return nil
	})
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *mapping) Unmap() error {
	m.h.fs.mu.Lock()
	defer m.h.fs.mu.Unlock()
	m.ended = true
	return nil
}

// Lock is good among the users of one FS; Crash and Restart end it, as the end of a process does.
func (f *FS) Lock(name string, holder vfs.Holder) (vfs.Lock, error) {
	name = path.Clean(name)
	var refused error // says all by itself: no path around it
	err := f.do(Op{Kind: OpLock, Path: name}, func() error {
		if !f.mu.dirs[path.Dir(name)] {
			return fs.ErrNotExist
		}
		if other, held := f.mu.locks[name]; held {
			refused = &vfs.LockedError{Dir: path.Dir(name), Path: name, Holder: other.String()}
			return nil
		}
		if f.mu.names[name] == nil {
			f.changeLocked(nameChange{add: name, node: newInode()})
		}
		f.mu.locks[name] = holder
		return nil
	})
	if err := cmp.Or(err, refused); err != nil {
		return nil, err
	}
	return &lock{fs: f, name: name}, nil
}

type lock struct {
	once sync.Once
	fs   *FS
	name string
}

func (l *lock) Close() error {
	l.once.Do(func() {
		l.fs.mu.Lock()
		defer l.fs.mu.Unlock()
		delete(l.fs.mu.locks, l.name)
	})
	return nil
}
