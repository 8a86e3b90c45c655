package commitlog

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync/atomic"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
)

const (
	segmentSuffix = ".log"
	tempSuffix    = ".tmp"
)

// segment is one file of the log. Its header, file and length never change; who appends to it is
// the log's business.
type segment struct {
	header segmentHeader
	path   string
	file   vfs.File
	length int64 // of the file in bytes

	filled atomic.Int64 // file offset below which zeros or frames are on the disk
	need   atomic.Int64 // file offset that the committer waits for, or has written up to

	refs    atomic.Int64 // one is the log's own; at 0 the file is closed
	mapping atomic.Pointer[pinnedMap]
	gone    chan struct{} // closed when refs reached 0
}

// pinnedMap is a mapping that ends when the last reader lets go.
type pinnedMap struct {
	m    vfs.Mapping
	refs atomic.Int64
}

// acquire pins by reference; false means that the thing has ended, and it stays so.
func acquire(refs *atomic.Int64) bool {
	for {
		n := refs.Load()
		if n == 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func newSegment(h segmentHeader, name string, file vfs.File, length int64) *segment {
	s := &segment{header: h, path: name, file: file, length: length, gone: make(chan struct{})}
	s.refs.Store(1)
	return s
}

// offset is where a position lies in the file.
func (s *segment) offset(p message.Position) int64 { return pageSize + int64(p-s.header.base) }

// room is where the last frame must end.
func (s *segment) room() message.Position {
	return s.header.base + message.Position(s.length-pageSize)
}

// release lets go of the segment; the last one closes its file. What closing a file that is only
// read reports is nothing that anyone could act on: its bytes were synced long ago.
func (s *segment) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	s.unmap()
	_ = s.file.Close()
	close(s.gone)
}

// mapIn makes reads go through memory. A machine that cannot map falls back to pread.
func (s *segment) mapIn() {
	m, err := s.file.Map()
	if err != nil {
		return
	}
	p := &pinnedMap{m: m}
	p.refs.Store(1)
	s.mapping.Store(p)
}

// unmap makes reads go through pread; a reader that has the map pinned ends it.
func (s *segment) unmap() {
	if p := s.mapping.Swap(nil); p != nil {
		p.release()
	}
}

func (p *pinnedMap) release() {
	if p.refs.Add(-1) == 0 {
		_ = p.m.Unmap() // munmap of an address that mmap gave cannot fail
	}
}

// readAt fills dst from the map or the file. The caller holds a reference.
func (s *segment) readAt(dst []byte, at message.Position) error {
	var err error
	if p := s.mapping.Load(); p != nil && acquire(&p.refs) {
		_, err = p.m.ReadAt(dst, s.offset(at))
		p.release()
	} else {
		_, err = s.file.ReadAt(dst, s.offset(at))
	}
	if err != nil {
		return fmt.Errorf("read segment %s at position %d: %w", s.path, uint64(at), err)
	}
	return nil
}

// checkLength returns a [*DamageError], met at a position, if somebody has cut the file: it has had its length
// since its header was synced. A length that cannot be learned says nothing.
func (s *segment) checkLength(at message.Position) error {
	size, err := s.file.Size()
	if err != nil || size >= s.length {
		return nil //nolint:nilerr // who asks has an error of its own, or meets this one at the next write
	}
	return &DamageError{
		Path: s.path, Position: at, Err: fmt.Errorf("%w: file was cut from %d to %d bytes", message.ErrCorrupt, s.length, size),
		Proof: "a segment has its whole length from its first frame on",
	}
}

func segmentName(base message.Position) string { return base.String() + segmentSuffix }

// createSegment makes the segment visible whole: a temporary file, its header, sync, rename, sync
// of the folder. Only then may a frame be written to it. It takes over file, the spare, if that is not nil.
func (l *Log) createSegment(h segmentHeader, spare *spareFile) (*segment, error) {
	fpBeforeCreate.Hit()
	if spare == nil {
		var err error
		spare, err = l.newSpare(h.length)
		if err != nil {
			return nil, err
		}
	}
	fpAfterCreate.Hit()
	fail := func(err error) (*segment, error) {
		_ = spare.file.Close() // the file is of no use; Open removes it
		if errors.Is(err, vfs.ErrNoSpace) {
			_ = l.opts.FS.Remove(spare.path) // unless it must make room for the next try
		}
		return nil, fmt.Errorf("create segment at position %d: %w", uint64(h.base), err)
	}
	if _, err := spare.file.WriteAt(h.page(), 0); err != nil {
		return fail(err)
	}
	fpBeforeHeaderSync.Hit()
	if err := spare.file.Sync(); err != nil {
		return fail(fmt.Errorf("%w: %w", errSync, err))
	}
	fpAfterHeaderSync.Hit()
	name := path.Join(l.opts.Dir, segmentName(h.base))
	if err := l.opts.FS.Rename(spare.path, name); err != nil {
		return fail(err)
	}
	fpAfterRename.Hit()
	if !bugNoDirSync {
		if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
			return fail(fmt.Errorf("%w: %w", errSync, err))
		}
	}
	fpAfterDirSync.Hit()
	s := newSegment(h, name, spare.file, h.length)
	s.filled.Store(max(spare.filled, pageSize))
	s.need.Store(pageSize)
	s.mapIn()
	return s, nil
}

// spareFile is a segment file without a header yet. Its length is that of a segment, sparse.
type spareFile struct {
	path   string
	file   vfs.File
	length int64
	filled int64
}

// newSpare makes the file under a name that no crash leaves in the way: every spare has its own.
func (l *Log) newSpare(length int64) (*spareFile, error) {
	name := path.Join(l.opts.Dir, fmt.Sprintf("segment-%d%s", l.spares.Add(1), tempSuffix))
	file, err := l.opts.FS.Create(name)
	if err != nil {
		return nil, fmt.Errorf("create segment file: %w", err)
	}
	if err := file.Truncate(length); err != nil {
		_ = file.Close() // of no use; Open removes it
		if errors.Is(err, vfs.ErrNoSpace) {
			_ = l.opts.FS.Remove(name) // unless it must make room for the next try
		}
		return nil, fmt.Errorf("size segment file: %w", err)
	}
	return &spareFile{path: name, file: file, length: length, filled: pageSize}, nil
}

// openSegments opens what is in the folder, in the order of their bases, and removes what a crash
// left half made.
func (l *Log) openSegments(ctx context.Context) (segments []*segment, err error) {
	names, err := l.opts.FS.List(l.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list log folder: %w", err)
	}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return segments, err
		}
		full := path.Join(l.opts.Dir, name)
		switch {
		case strings.HasSuffix(name, tempSuffix):
			if err := l.opts.FS.Remove(full); err != nil {
				return segments, fmt.Errorf("remove unfinished segment: %w", err)
			}
		case strings.HasSuffix(name, segmentSuffix):
			s, err := l.openSegment(full)
			if err != nil {
				return segments, err
			}
			segments = append(segments, s)
		}
	}
	return segments, nil
}

func (l *Log) openSegment(name string) (*segment, error) {
	file, err := l.opts.FS.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	h, err := l.readSegmentHeader(file, name)
	if err != nil {
		_ = file.Close() // nothing was written by it
		return nil, err
	}
	s := newSegment(h, name, file, h.length)
	s.filled.Store(pageSize)
	s.need.Store(pageSize)
	return s, nil
}

func (l *Log) readSegmentHeader(file vfs.File, name string) (segmentHeader, error) {
	damaged := func(err error) (segmentHeader, error) {
		return segmentHeader{}, &DamageError{Path: name, Err: err, Proof: "a segment gets its name after its header was synced"}
	}
	size, err := file.Size()
	if err != nil {
		return segmentHeader{}, fmt.Errorf("open segment %s: %w", name, err)
	}
	if size < pageSize {
		return damaged(fmt.Errorf("%w: file of %d bytes", message.ErrCorrupt, size))
	}
	page := make([]byte, pageSize)
	if _, err := file.ReadAt(page, 0); err != nil {
		return segmentHeader{}, fmt.Errorf("read header of segment %s: %w", name, err)
	}
	h, err := decodeSegmentHeader(page)
	switch {
	case err != nil:
		return damaged(err)
	case h.shard != l.opts.Shard:
		return damaged(fmt.Errorf("%w: segment of shard %s in the log of shard %s", message.ErrCorrupt, h.shard, l.opts.Shard))
	case size < h.length:
		return damaged(fmt.Errorf("%w: file was cut from %d to %d bytes", message.ErrCorrupt, h.length, size))
	}
	return h, nil
}
