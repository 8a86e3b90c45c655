package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/internal/vfs"
)

const (
	lockName        = "LOCK"
	incarnationName = "incarnation"
	metaDir         = "meta"
	shardsDir       = "shards"
	tlsDir          = "tls"
)

// maxIncarnationLen bounds the incarnation file, in bytes.
const maxIncarnationLen = 64

// folder is a data folder that is locked for this process.
type folder struct {
	fs   vfs.FS
	dir  string
	lock vfs.Lock

	// incarnation names this folder and no copy of it: its random id, and where its lock file lies.
	incarnation string
	fresh       bool // there was no shard yet
}

// openFolder makes the data folder if need be and takes its lock. It fails with [vfs.ErrLocked] if
// another process has it.
func openFolder(fsys vfs.FS, dir string, now time.Time) (_ *folder, err error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName), vfs.Holder{PID: os.Getpid(), Since: now, Note: "strata server"})
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	f := &folder{fs: fsys, dir: dir, lock: lock}
	id, err := f.readIncarnation()
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	place, err := placeOf(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	f.incarnation = id + "@" + place
	names, err := fsys.List(filepath.Join(dir, shardsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data folder %s: %w", dir, err)
	}
	f.fresh = len(names) == 0
	return f, nil
}

// readIncarnation returns the folder's id, and makes one for a folder that has none.
func (f *folder) readIncarnation() (string, error) {
	name := filepath.Join(f.dir, incarnationName)
	file, err := f.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		id := strings.ToLower(rand.Text())
		return id, f.writeWhole(incarnationName, []byte(id))
	}
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(io.NewSectionReader(file, 0, maxIncarnationLen+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if len(raw) == 0 || len(raw) > maxIncarnationLen {
		return "", fmt.Errorf("%s has %d bytes: it is not what was written", name, len(raw))
	}
	return string(raw), nil
}

// writeWhole makes a file visible whole: temporary name, sync, rename, sync of the folder.
func (f *folder) writeWhole(name string, data []byte) error {
	final := filepath.Join(f.dir, name)
	temp := final + ".tmp"
	if err := f.fs.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.fs.Create(temp)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := f.fs.Rename(temp, final); err != nil {
		return err
	}
	return f.fs.SyncDir(f.dir)
}

// path returns the path of something in the folder.
func (f *folder) path(elem ...string) string {
	return filepath.Join(append([]string{f.dir}, elem...)...)
}

// close gives the lock back.
func (f *folder) close() error { return f.lock.Close() }

// placeOf names the file system and the inode of a file: a copy has another.
func placeOf(path string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return "", fmt.Errorf("stat %s: %w", path, err)
	}
	var system unix.Statfs_t
	if err := unix.Statfs(path, &system); err != nil {
		return "", fmt.Errorf("statfs %s: %w", path, err)
	}
	return fmt.Sprintf("%08x%08x-%d", uint32(system.Fsid.Val[0]), uint32(system.Fsid.Val[1]), stat.Ino), nil
}
