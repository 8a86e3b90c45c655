package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/internal/vfs"
)

type file struct {
	f      *os.File
	direct struct { // for WriteZeros, opened on its first call
		once sync.Once
		file *os.File
	}
}

func open(path string, flag int) (vfs.File, error) {
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, wrap(err)
	}
	return &file{f: f}, nil
}

func (f *file) Name() string { return f.f.Name() }

// ReadAt goes to os.File, which asks again after a short read and after EINTR.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	return n, wrap(err)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.f.WriteAt(p, off)
	return n, wrap(err)
}

func (f *file) Sync() error {
	return f.control("fdatasync", unix.Fdatasync)
}

func (f *file) Truncate(size int64) error { return wrap(f.f.Truncate(size)) }

// Fallocate treats a file system that has no such call as one where space cannot be reserved:
// the write that follows then tells.
func (f *file) Fallocate(off, n int64) error {
	if n == 0 {
		return nil // the system refuses to reserve nothing
	}
	err := f.control("fallocate", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f *file) Size() (int64, error) {
	st, err := f.f.Stat()
	if err != nil {
		return 0, wrap(err)
	}
	return st.Size(), nil
}

func (f *file) NextData(off int64) (int64, error) {
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if off >= size {
		return size, nil
	}
	next := off
	err = f.control("lseek", func(fd int) error {
		n, err := unix.Seek(fd, off, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO): // no data from off to the end
			next = size
			return nil
		case errors.Is(err, unix.EINVAL): // the file system cannot tell
			return nil
		case err != nil:
			return err
		}
		next = n
		return nil
	})
	return next, err
}

func (f *file) Close() error {
	f.direct.once.Do(func() {}) // from now on none is opened
	if f.direct.file != nil {
		_ = f.direct.file.Close() // closing again does no harm, and what it wrote was told by its writes
	}
	return wrap(f.f.Close())
}

// control runs call on the descriptor, again after EINTR, and names the call in the error.
func (f *file) control(name string, call func(fd int) error) error {
	raw, err := f.f.SyscallConn()
	if err != nil {
		return wrap(err)
	}
	var callErr error
	err = raw.Control(func(fd uintptr) {
		for {
			callErr = call(int(fd))
			if !errors.Is(callErr, unix.EINTR) {
				return
			}
		}
	})
	if err != nil { // Control fails on a closed file alone, with an error of its own
		return fmt.Errorf("%w: %w", vfs.ErrClosed, err)
	}
	if callErr != nil {
		return wrap(&fs.PathError{Op: name, Path: f.f.Name(), Err: callErr})
	}
	return nil
}
