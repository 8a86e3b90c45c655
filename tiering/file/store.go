package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/stratamq/stratamq/tiering"
)

const (
	tempDir    = ".tmp"         // no key begins with a dot
	tempMaxAge = 24 * time.Hour // older ones belong to nobody

	// The most bytes that are dirty before they are written back: more would hold up the syncs of a log on the same disk.
	paceStep = 1 << 20
)

// Store is a [tiering.ObjectStore] in a directory.
type Store struct {
	dir  string
	root *os.Root // keeps every path below dir, symbolic links included

	// Naming takes it shared, the removal of empty directories exclusively: else a directory could vanish
	// between its making and the rename into it.
	dirs sync.RWMutex
}

var _ tiering.ObjectStore = (*Store)(nil)

// Open opens the store in dir, an absolute path, and makes the directory if it is missing.
func Open(dir string) (*Store, error) {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
		return nil, fmt.Errorf("open object store %q: %w: not an absolute path below the root directory", dir, tiering.ErrInvalidURL)
	}
	if err := makeDirs(filepath.Join(dir, tempDir)); err != nil {
		return nil, fmt.Errorf("open object store: %w", translate(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open object store: %w", translate(err))
	}
	s := &Store{dir: dir, root: root}
	if err := s.removeStale(); err != nil {
		return nil, errors.Join(fmt.Errorf("open object store: %w", translate(err)), root.Close())
	}
	return s, nil
}

// String returns the store's URL.
func (s *Store) String() string {
	return tiering.Location{Scheme: tiering.SchemeFile, Dir: s.dir}.String()
}

// Close closes the directory.
func (s *Store) Close() error { return s.root.Close() }

// GetRange implements [tiering.ObjectStore].
func (s *Store) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	if err := check(ctx, key); err != nil {
		return opError("get", key, err)
	}
	if off < 0 {
		return opError("get", key, fmt.Errorf("%w: range from %d", tiering.ErrCorrupt, off))
	}
	f, err := s.root.Open(key)
	if err != nil {
		return opError("get", key, err)
	}
	err = readRange(f, dst, off)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return opError("get", key, err)
}

func readRange(f *os.File, dst []byte, off int64) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fs.ErrNotExist
	case off+int64(len(dst)) > info.Size():
		return fmt.Errorf("%w: range [%d, %d) of an object of %d bytes", tiering.ErrCorrupt, off, off+int64(len(dst)), info.Size())
	}
	_, err = io.ReadFull(io.NewSectionReader(f, off, int64(len(dst))), dst)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it shrank while it was read", tiering.ErrCorrupt)
	}
	return err
}

// Head implements [tiering.ObjectStore].
func (s *Store) Head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	if err := check(ctx, key); err != nil {
		return tiering.ObjectInfo{}, opError("head", key, err)
	}
	info, err := s.root.Stat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return tiering.ObjectInfo{}, opError("head", key, err)
	}
	return describe(key, info), nil
}

func describe(key string, info fs.FileInfo) tiering.ObjectInfo {
	return tiering.ObjectInfo{
		Key:  key,
		Size: info.Size(),
		ETag: fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano()),
	}
}

// Delete implements [tiering.ObjectStore]. It also removes the directories that it leaves empty.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, key); err != nil {
		return opError("delete", key, err)
	}
	info, err := s.root.Stat(key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		err = s.root.Remove(key)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a second deleter was faster
	}
	if err == nil {
		err = s.syncDirs(path.Dir(key))
	}
	if err == nil {
		s.removeEmpty(path.Dir(key))
	}
	return opError("delete", key, err)
}

// removeEmpty removes dir and those above it as far as they are empty. An empty directory harms nobody, so
// nothing depends on its success.
func (s *Store) removeEmpty(dir string) {
	s.dirs.Lock()
	defer s.dirs.Unlock()
	for ; dir != "."; dir = path.Dir(dir) {
		if s.root.Remove(dir) != nil {
			return
		}
	}
}

// syncDirs syncs dir and every directory above it up to the root: one of them may be new, made by us or by
// a writer beside us that has not come to syncing it.
func (s *Store) syncDirs(dir string) error {
	for {
		f, err := s.root.Open(dir)
		if err == nil {
			err = errors.Join(f.Sync(), f.Close())
		}
		// A directory that is gone was emptied by a deletion, and its parents remember that.
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if dir == "." {
			return nil
		}
		dir = path.Dir(dir)
	}
}

// removeStale removes temporary files that nobody is writing any more.
func (s *Store) removeStale() error {
	entries, err := fs.ReadDir(s.root.FS(), tempDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if time.Since(info.ModTime()) < tempMaxAge {
			continue
		}
		if err := s.root.Remove(path.Join(tempDir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeDirs is os.MkdirAll that syncs the parent of each directory it makes.
func makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := makeDirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func check(ctx context.Context, key string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return tiering.ValidateKey(key)
}

// opError wraps err, which may be nil, in the words of the vocabulary.
func opError(op, key string, err error) error {
	if err == nil {
		return nil
	}
	return &tiering.OpError{Op: op, Key: key, Err: translate(err)}
}

// translate adds to an error of the operating system what it means for an object.
func translate(err error) error {
	for _, sentinel := range []error{
		tiering.ErrCorrupt, tiering.ErrExists, tiering.ErrInvalidKey, tiering.ErrUnsupported, tiering.ErrNotFound, tiering.ErrNoBucket,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, sentinel) {
			return err
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %w", tiering.ErrNotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", tiering.ErrDenied, err)
	default: // no space, I/O error: the caller may try again
		return fmt.Errorf("%w: %w", tiering.ErrUnavailable, err)
	}
}
