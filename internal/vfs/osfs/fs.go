package osfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/internal/vfs"
)

// FS is the file system of the machine. The zero value works.
type FS struct{}

// New returns the machine's file system.
func New() FS { return FS{} }

var _ vfs.FS = FS{}

// Create makes a new file.
func (FS) Create(path string) (vfs.File, error) {
	return open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// Open opens an existing file.
func (FS) Open(path string) (vfs.File, error) { return open(path, os.O_RDWR) }

// Remove removes a file or an empty folder.
func (FS) Remove(path string) error { return os.Remove(path) }

// Rename moves a file.
func (FS) Rename(from, to string) error { return os.Rename(from, to) }

// Link gives a file a second name.
func (FS) Link(from, to string) error { return os.Link(from, to) }

// List returns the names in a folder, sorted.
func (FS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, nil
}

// Stat describes a file or folder.
func (FS) Stat(path string) (vfs.Info, error) {
	st, err := os.Stat(path)
	if err != nil {
		return vfs.Info{}, err
	}
	info := vfs.Info{Dir: st.IsDir(), ModTime: st.ModTime()}
	if !info.Dir {
		info.Size = st.Size()
	}
	return info, nil
}

// MkdirAll makes a folder durably. A folder that exists is synced into the one above it all the
// same: the process that made it may have died before its own sync.
func (f FS) MkdirAll(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if parent == dir {
		return nil
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrNotExist) {
		if err := f.MkdirAll(parent); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		st, statErr := os.Stat(dir)
		if statErr != nil {
			return statErr
		}
		if !st.IsDir() {
			return err
		}
		err = nil
	}
	if err != nil {
		return err
	}
	err = f.SyncDir(parent)
	if errors.Is(err, fs.ErrPermission) {
		return nil // a folder that we may not even read was there before us
	}
	return err
}

// SyncDir makes the names in a folder durable.
func (FS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close() // the sync's error is the one that matters
		return err
	}
	return d.Close()
}

// FreeSpace returns the bytes that an unprivileged process may still write.
func (FS) FreeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// wrap adds vfs.ErrNoSpace to an error of a full disk or quota, so that callers need not know errno.
func wrap(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", vfs.ErrNoSpace, err)
	}
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("%w: %w", vfs.ErrClosed, err)
	}
	return err
}
