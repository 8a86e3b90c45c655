package osfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/internal/vfs"
)

// maxHolderLen bounds in bytes what is read of a lock file that somebody else wrote.
const maxHolderLen = 512

type lock struct {
	once sync.Once
	f    *os.File
	err  error
}

// Lock takes an flock: the kernel gives it back with the last descriptor, however the process ends.
func (FS) Lock(path string, holder vfs.Holder) (vfs.Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer func() { _ = f.Close() }() // we hold nothing that closing could lose
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &vfs.LockedError{Dir: filepath.Dir(path), Path: path, Holder: readHolder(f)}
		}
		return nil, &fs.PathError{Op: "flock", Path: path, Err: err}
	}
	text := []byte(holder.String() + "\n")
	if err := errors.Join(f.Truncate(0), writeAll(f, text)); err != nil {
		_ = f.Close() // gives the lock back; the write's error is the one that matters
		return nil, wrap(err)
	}
	return &lock{f: f}, nil
}

func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func writeAll(f *os.File, p []byte) error {
	_, err := f.WriteAt(p, 0)
	return err
}

func readHolder(f *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxHolderLen))
	line, _, _ := strings.Cut(string(text), "\n")
	if err != nil || line == "" {
		return "an unknown process"
	}
	return line
}

// Close empties the file first, so that it never names a holder that is gone.
func (l *lock) Close() error {
	l.once.Do(func() { l.err = errors.Join(l.f.Truncate(0), l.f.Close()) })
	return l.err
}
