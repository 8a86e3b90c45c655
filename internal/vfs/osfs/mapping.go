package osfs

import (
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/internal/vfs"
)

type mapping struct {
	name string
	data []byte // the map itself; nil for an empty file, which cannot be mapped
}

func (f *file) Map() (vfs.Mapping, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	m := &mapping{name: f.f.Name()}
	if size == 0 {
		return m, nil
	}
	err = f.control("mmap", func(fd int) error {
		m.data, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *mapping) Len() int64 { return int64(len(m.data)) }

func (m *mapping) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(m.data)) {
		return 0, io.EOF
	}
	n, ok := guardedCopy(p, m.data[off:])
	if !ok {
		return 0, &fs.PathError{Op: "read", Path: m.name, Err: fmt.Errorf("%w at offset %d", vfs.ErrFault, off)}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// guardedCopy copies from a map. The runtime turns a SIGBUS of this goroutine into a panic with an
// address while SetPanicOnFault is on; any other panic is a bug of ours and goes on.
func guardedCopy(dst, src []byte) (n int, ok bool) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		r := recover()
		if r == nil {
			return
		}
		if _, isFault := r.(interface{ Addr() uintptr }); !isFault {
			panic(r)
		}
		n, ok = 0, false
	}()
	return copy(dst, src), true
}

func (m *mapping) Unmap() error {
	if m.data == nil {
		return nil
	}
	data := m.data
	m.data = nil
	return unix.Munmap(data)
}
