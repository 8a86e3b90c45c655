package file

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"github.com/stratamq/stratamq/tiering"
)

// Put implements [tiering.ObjectStore].
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64, opts tiering.PutOptions) error {
	if err := check(ctx, key); err != nil {
		return opError("put", key, err)
	}
	temp, f, err := s.createTemp()
	if err != nil {
		return opError("put", key, err)
	}
	crc, err := copyPaced(ctx, f, io.NewSectionReader(body, 0, size), size)
	if err == nil && opts.HasCRC32C && crc != opts.CRC32C {
		err = fmt.Errorf("%w: the body has CRC32C %08x, announced was %08x", tiering.ErrCorrupt, crc, opts.CRC32C)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = s.name(temp, key, opts.IfAbsent)
	}
	return opError("put", key, s.dropTemp(temp, err))
}

func (s *Store) createTemp() (string, *os.File, error) {
	temp := path.Join(tempDir, rand.Text())
	f, err := s.root.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o640)
	return temp, f, err
}

// dropTemp removes a temporary file that may have been renamed, and returns err.
func (s *Store) dropTemp(temp string, err error) error {
	if removeErr := s.root.Remove(temp); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) && err != nil {
		return errors.Join(err, removeErr)
	}
	return err // a temporary file left behind by a success is removed when it is stale
}

// copyPaced copies size bytes and syncs them, so that few of them are ever dirty. It returns their CRC32C.
func copyPaced(ctx context.Context, f *os.File, body io.Reader, size int64) (uint32, error) {
	buf := make([]byte, min(paceStep, size))
	crc := uint32(0)
	for done := int64(0); done < size; {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		step := buf[:min(int64(len(buf)), size-done)]
		if _, err := io.ReadFull(body, step); err != nil {
			return 0, fmt.Errorf("read body at %d of %d bytes: %w", done, size, err)
		}
		crc = tiering.UpdateChecksum(crc, step)
		if err := writePaced(f, step, done); err != nil {
			return 0, err
		}
		done += int64(len(step))
	}
	return crc, f.Sync()
}

// writePaced writes one step. A whole one is written back at once; what is shorter waits for the sync.
func writePaced(f *os.File, b []byte, off int64) error {
	if _, err := f.WriteAt(b, off); err != nil || len(b) < paceStep {
		return err
	}
	return writeBack(f, off, int64(len(b)))
}

// name gives a whole, synced temporary file its key.
func (s *Store) name(temp, key string, ifAbsent bool) error {
	dir := path.Dir(key)
	if err := s.place(temp, key, dir, ifAbsent); err != nil {
		return err
	}
	return s.syncDirs(dir)
}

func (s *Store) place(temp, key, dir string, ifAbsent bool) error {
	s.dirs.RLock()
	defer s.dirs.RUnlock()
	err := s.root.MkdirAll(dir, 0o750)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: it lies below another object: %w", tiering.ErrInvalidKey, err)
	}
	if err != nil {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	if !ifAbsent {
		return s.root.Rename(temp, key)
	}
	err = s.root.Link(temp, key)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %w", tiering.ErrExists, err)
	}
	return err
}

// upload is an object whose parts are written at their places in one temporary file.
type upload struct {
	store    *Store
	key      string
	temp     string
	partSize int64

	mu struct {
		sync.Mutex
		file  *os.File      // nil after Complete or Abort
		parts map[int]int64 // number → size in bytes
	}
}

// Create implements [tiering.ObjectStore].
func (s *Store) Create(ctx context.Context, key string, partSize int64) (tiering.Upload, error) {
	if err := check(ctx, key); err != nil {
		return nil, opError("create", key, err)
	}
	if partSize < tiering.MinPartSize {
		return nil, opError("create", key, fmt.Errorf("%w: parts of %d bytes are below %d", tiering.ErrUnsupported, partSize, tiering.MinPartSize))
	}
	temp, f, err := s.createTemp()
	if err != nil {
		return nil, opError("create", key, err)
	}
	u := &upload{store: s, key: key, temp: temp, partSize: partSize}
	u.mu.file = f
	u.mu.parts = make(map[int]int64)
	return u, nil
}

// Part implements [tiering.Upload].
func (u *upload) Part(ctx context.Context, number int, body []byte) error {
	if number < 1 || number > tiering.MaxParts || len(body) == 0 || int64(len(body)) > u.partSize {
		return opError("part", u.key, fmt.Errorf("%w: part %d of %d bytes", tiering.ErrUnsupported, number, len(body)))
	}
	u.mu.Lock()
	f := u.mu.file
	u.mu.Unlock()
	if f == nil {
		return opError("part", u.key, errEnded)
	}
	off := int64(number-1) * u.partSize
	for done := 0; done < len(body); {
		if err := context.Cause(ctx); err != nil {
			return opError("part", u.key, err)
		}
		step := body[done:min(len(body), done+paceStep)]
		if err := writePaced(f, step, off+int64(done)); err != nil {
			return opError("part", u.key, err)
		}
		done += len(step)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.parts[number] = int64(len(body))
	return nil
}

var errEnded = fmt.Errorf("%w: the upload has ended", tiering.ErrNotFound)

// Complete implements [tiering.Upload].
func (u *upload) Complete(ctx context.Context, n int, opts tiering.PutOptions) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.file == nil {
		return opError("complete", u.key, errEnded)
	}
	size, err := u.sizeLocked(n)
	if err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && opts.HasCRC32C {
		err = u.verifyLocked(size, opts.CRC32C)
	}
	if err == nil {
		err = u.mu.file.Sync()
	}
	if err == nil {
		err = u.store.name(u.temp, u.key, opts.IfAbsent)
	}
	if err != nil {
		return opError("complete", u.key, err) // Abort removes the file
	}
	return opError("complete", u.key, u.endLocked())
}

// sizeLocked checks that parts 1 … n are there and fit together, and returns the size of the whole.
func (u *upload) sizeLocked(n int) (int64, error) {
	if n < 1 || n != len(u.mu.parts) {
		return 0, fmt.Errorf("%w: %d parts to complete, %d uploaded", tiering.ErrCorrupt, n, len(u.mu.parts))
	}
	for number := 1; number < n; number++ {
		if u.mu.parts[number] != u.partSize {
			return 0, fmt.Errorf("%w: part %d has %d bytes, not %d", tiering.ErrCorrupt, number, u.mu.parts[number], u.partSize)
		}
	}
	if u.mu.parts[n] == 0 {
		return 0, fmt.Errorf("%w: part %d is missing", tiering.ErrCorrupt, n)
	}
	return int64(n-1)*u.partSize + u.mu.parts[n], nil
}

func (u *upload) verifyLocked(size int64, want uint32) error {
	h := &checksum{}
	if _, err := io.Copy(h, io.NewSectionReader(u.mu.file, 0, size)); err != nil {
		return err
	}
	if h.crc != want {
		return fmt.Errorf("%w: the parts have CRC32C %08x, announced was %08x", tiering.ErrCorrupt, h.crc, want)
	}
	return nil
}

type checksum struct{ crc uint32 }

func (c *checksum) Write(b []byte) (int, error) {
	c.crc = tiering.UpdateChecksum(c.crc, b)
	return len(b), nil
}

// Abort implements [tiering.Upload].
func (u *upload) Abort(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.file == nil {
		return nil
	}
	return opError("abort", u.key, u.endLocked())
}

func (u *upload) endLocked() error {
	err := u.mu.file.Close()
	u.mu.file = nil
	return u.store.dropTemp(u.temp, err)
}
