package memfs

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/stratamq/stratamq/internal/vfs"
)

// DefaultCapacity is the size in bytes of the disk.
const DefaultCapacity = 1 << 40

// FS is a file system in memory.
type FS struct {
	mu struct {
		sync.Mutex
		names   map[string]*inode // what a program sees
		dirs    map[string]bool
		durable map[string]*inode
		kept    map[string]bool // folders that survive a crash
		pending []nameChange    // between the two, in the order they came
		locks   map[string]vfs.Holder
		stopped bool
		rng     *rand.Rand // which pages a failed Sync loses
		hook    Hook
		now     func() time.Time
		space   int64 // capacity of the disk in bytes
	}
}

// nameChange is one step of a folder: add names an inode, drop frees a name, both at once is a rename.
type nameChange struct {
	add, drop string
	node      *inode
}

func (c nameChange) in(dir string) bool {
	return c.add != "" && path.Dir(c.add) == dir || c.drop != "" && path.Dir(c.drop) == dir
}

func (c nameChange) apply(names map[string]*inode) {
	if c.drop != "" {
		delete(names, c.drop)
	}
	if c.add != "" {
		names[c.add] = c.node
	}
}

var _ vfs.FS = (*FS)(nil)

// New returns an empty file system that holds the folder "/" and ".". The seed chooses what a failed Sync loses.
func New(seed uint64) *FS {
	f := &FS{}
	f.mu.names = make(map[string]*inode)
	f.mu.durable = make(map[string]*inode)
	f.mu.dirs = map[string]bool{"/": true, ".": true}
	f.mu.kept = map[string]bool{"/": true, ".": true}
	f.mu.locks = make(map[string]vfs.Holder)
	f.mu.rng = rand.New(rand.NewPCG(seed, 0))
	f.mu.now = func() time.Time { return time.Time{} }
	f.mu.space = DefaultCapacity
	return f
}

// SetHook makes every call go by hook first; nil takes it away.
func (f *FS) SetHook(hook Hook) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hook = hook
}

// SetNow gives files their times.
func (f *FS) SetNow(now func() time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.now = now
}

// SetCapacity makes the disk that large; writes beyond it fail with vfs.ErrNoSpace.
func (f *FS) SetCapacity(bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.space = bytes
}

// do asks the hook, then runs effect under the lock unless the call fails without its effect.
func (f *FS) do(op Op, effect func() error) error {
	f.mu.Lock()
	hook := f.mu.hook
	f.mu.Unlock()
	var fault Fault
	if hook != nil {
		fault = hook(op)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.stopped {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: ErrCrashed}
	}
	if fault.Err != nil && !fault.Effect {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: fault.Err}
	}
	err := effect()
	if err == nil {
		err = fault.Err
	}
	if err != nil {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
	}
	return nil
}

// Create makes a new file.
func (f *FS) Create(name string) (vfs.File, error) {
	name = path.Clean(name)
	var h *handle
	err := f.do(Op{Kind: OpCreate, Path: name}, func() error {
		if !f.mu.dirs[path.Dir(name)] {
			return fs.ErrNotExist
		}
		if f.mu.names[name] != nil || f.mu.dirs[name] {
			return fs.ErrExist
		}
		n := newInode()
		n.modTime = f.mu.now()
		f.changeLocked(nameChange{add: name, node: n})
		h = &handle{fs: f, name: name, node: n}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Open opens an existing file.
func (f *FS) Open(name string) (vfs.File, error) {
	name = path.Clean(name)
	var h *handle
	err := f.do(Op{Kind: OpOpen, Path: name}, func() error {
		n := f.mu.names[name]
		if n == nil {
			return fs.ErrNotExist
		}
		h = &handle{fs: f, name: name, node: n, seenErrs: n.syncErrs}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (f *FS) changeLocked(c nameChange) {
	c.apply(f.mu.names)
	f.mu.pending = append(f.mu.pending, c)
}

// Remove removes a file or an empty folder. A folder's removal is durable at once.
func (f *FS) Remove(name string) error {
	name = path.Clean(name)
	return f.do(Op{Kind: OpRemove, Path: name}, func() error {
		if f.mu.names[name] != nil {
			f.changeLocked(nameChange{drop: name})
			return nil
		}
		if !f.mu.dirs[name] {
			return fs.ErrNotExist
		}
		if len(f.childrenLocked(name)) > 0 {
			return fs.ErrInvalid
		}
		delete(f.mu.dirs, name)
		delete(f.mu.kept, name)
		return nil
	})
}

// Rename moves a file.
func (f *FS) Rename(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	return f.do(Op{Kind: OpRename, Path: from + " → " + to}, func() error {
		n := f.mu.names[from]
		if n == nil || !f.mu.dirs[path.Dir(to)] {
			return fs.ErrNotExist
		}
		if f.mu.dirs[to] {
			return fs.ErrExist
		}
		f.changeLocked(nameChange{add: to, drop: from, node: n})
		return nil
	})
}

// Link gives a file a second name.
func (f *FS) Link(from, to string) error {
	from, to = path.Clean(from), path.Clean(to)
	return f.do(Op{Kind: OpLink, Path: from + " → " + to}, func() error {
		n := f.mu.names[from]
		if n == nil || !f.mu.dirs[path.Dir(to)] {
			return fs.ErrNotExist
		}
		if f.mu.names[to] != nil || f.mu.dirs[to] {
			return fs.ErrExist
		}
		f.changeLocked(nameChange{add: to, node: n})
		return nil
	})
}

// List returns the names in a folder, sorted.
func (f *FS) List(dir string) ([]string, error) {
	dir = path.Clean(dir)
	var names []string
	err := f.do(Op{Kind: OpList, Path: dir}, func() error {
		if !f.mu.dirs[dir] {
			return fs.ErrNotExist
		}
		names = f.childrenLocked(dir)
		return nil
	})
	return names, err
}

func (f *FS) childrenLocked(dir string) []string {
	var names []string
	for name := range f.mu.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	for name := range f.mu.dirs {
		if path.Dir(name) == dir && name != dir {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

// Stat describes a file or folder.
func (f *FS) Stat(name string) (vfs.Info, error) {
	name = path.Clean(name)
	var info vfs.Info
	err := f.do(Op{Kind: OpStat, Path: name}, func() error {
		if n := f.mu.names[name]; n != nil {
			info = vfs.Info{Size: n.size, ModTime: n.modTime}
			return nil
		}
		if f.mu.dirs[name] {
			info = vfs.Info{Dir: true}
			return nil
		}
		return fs.ErrNotExist
	})
	return info, err
}

// MkdirAll makes a folder durably.
func (f *FS) MkdirAll(dir string) error {
	dir = path.Clean(dir)
	return f.do(Op{Kind: OpMkdirAll, Path: dir}, func() error {
		for d := dir; ; d = path.Dir(d) {
			if f.mu.names[d] != nil {
				return fs.ErrExist
			}
			f.mu.dirs[d] = true
			f.mu.kept[d] = true
			if path.Dir(d) == d {
				return nil
			}
		}
	})
}

// SyncDir makes the names in a folder durable.
func (f *FS) SyncDir(dir string) error {
	dir = path.Clean(dir)
	return f.do(Op{Kind: OpSyncDir, Path: dir}, func() error {
		if !f.mu.dirs[dir] {
			return fs.ErrNotExist
		}
		f.mu.pending = slices.DeleteFunc(f.mu.pending, func(c nameChange) bool {
			if c.in(dir) {
				c.apply(f.mu.durable)
				return true
			}
			return false
		})
		return nil
	})
}

// FreeSpace returns what the files leave of the capacity.
func (f *FS) FreeSpace(dir string) (int64, error) {
	var free int64
	err := f.do(Op{Kind: OpFreeSpace, Path: dir}, func() error {
		free = f.freeLocked()
		return nil
	})
	return free, err
}

func (f *FS) freeLocked() int64 {
	seen := make(map[*inode]bool)
	free := f.mu.space
	for _, n := range f.mu.names {
		if !seen[n] {
			seen[n] = true
			free -= max(int64(len(n.pages))*pageSize, n.reservedSize)
		}
	}
	return free
}

// Names returns the paths of all files that a program sees, sorted; for tests.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedNames(f.mu.names)
}

// Damage changes the stored bytes of a file at off as a bad disk does: at once, durably, unseen by any hook.
func (f *FS) Damage(name string, off int64, change func(b []byte), n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	node := f.mu.names[path.Clean(name)]
	if node == nil {
		return &fs.PathError{Op: "damage", Path: name, Err: fs.ErrNotExist}
	}
	buf := make([]byte, n)
	node.pages.read(buf, off)
	change(buf)
	node.pages.write(buf, off)
	node.durable.write(buf, off)
	return nil
}

// sortedNames makes the order in which a seed is spent the same in every run.
func sortedNames(names map[string]*inode) []string { return slices.Sorted(maps.Keys(names)) }
