package commitlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratamq/stratamq/internal/vfs"
)

const (
	// fillStep is how many bytes of zeros are written and synced at once: the committer's sync waits
	// behind no more than this.
	fillStep = 1 << 20
	// fullRetry is how long the filler waits when the disk is full.
	fullRetry = time.Second
)

// filler writes zeros ahead of the committer, so that a frame's sync changes no extents and a full
// disk is met before it matters. It keeps a file ready for the next segment as well.
type filler struct {
	l       *Log
	wake    chan struct{} // a token: there may be something to fill
	moved   chan struct{} // a token: the target has more zeros
	full    atomic.Bool   // the disk has no room for what is needed next
	short   atomic.Bool   // the last try to make room failed: there is what is filled, and no more
	starved chan struct{} // a token: a try to make room has failed

	running bool // set by Run before its goroutines start; without it the committer fills for itself

	mu struct {
		sync.Mutex
		target *segment // to fill: the active segment
		spare  *spareFile
	}
}

func (f *filler) init(l *Log) {
	f.l = l
	f.wake = make(chan struct{}, 1)
	f.moved = make(chan struct{}, 1)
	f.starved = make(chan struct{}, 1)
}

// signal leaves a token, unless one lies there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow makes s the segment to fill.
func (f *filler) follow(s *segment) {
	f.mu.Lock()
	f.mu.target = s
	f.mu.Unlock()
	signal(f.wake)
}

func (f *filler) target() *segment {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.target
}

// takeSpare returns a file of that length that is ready, or nil.
func (f *filler) takeSpare(length int64) *spareFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	spare := f.mu.spare
	if spare == nil || spare.length != length {
		return nil
	}
	f.mu.spare = nil
	return spare
}

// close lets go of the spare; the next Open removes its file.
func (f *filler) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.spare != nil {
		_ = f.mu.spare.file.Close() // it holds nothing
		f.mu.spare = nil
	}
}

// want is how far s should be filled: the chunk that the committer is in, and the next one.
func (f *filler) want(s *segment) int64 {
	chunk := f.l.opts.FillChunk
	return min(s.length, (s.need.Load()+chunk-1)/chunk*chunk+chunk)
}

// wait returns once the file has zeros up to end. It is the committer's call.
func (f *filler) wait(ctx context.Context, s *segment, end int64) error {
	before := s.need.Swap(end)
	if !f.running {
		for s.filled.Load() < end {
			if err := f.step(s.file, s); err != nil {
				return err
			}
		}
		return nil
	}
	if near := f.near(s); s.filled.Load() < f.want(s) || before < near && near <= end {
		signal(f.wake)
	}
	if s.filled.Load() >= end {
		return nil
	}
	began := f.l.opts.Clock.Boot()
	stop := ctx.Done()
	for s.filled.Load() < end {
		select {
		case <-f.moved:
		case <-f.l.fence.raised:
			return f.l.fence.err()
		case <-stop:
			if f.full.Load() {
				return fmt.Errorf("%w: stopped while it waited for room", ErrFull)
			}
			stop = nil // the filler still works; it comes or it tells
		}
		if stop == nil && f.full.Load() {
			return fmt.Errorf("%w: stopped while it waited for room", ErrFull)
		}
	}
	if fn := f.l.opts.Events.FillWait; fn != nil {
		fn(f.l.since(began))
	}
	return nil
}

// step fills the next megabyte of s by a handle of its file. Its error is an ErrNoSpace only if
// nothing was synced, so that it can be tried again.
func (f *filler) step(file vfs.File, s *segment) error {
	off := s.filled.Load()
	end, err := f.fill(file, off, s.length)
	if err != nil {
		return fmt.Errorf("fill segment %s ahead: %w", s.path, err)
	}
	s.filled.Store(end)
	signal(f.moved)
	return nil
}

// fill writes and syncs zeros from off on, within a file of that length.
func (f *filler) fill(file vfs.File, off, length int64) (end int64, err error) {
	chunk := f.l.opts.FillChunk
	end = min(off+fillStep, length, (off/chunk+1)*chunk)
	if reserve := min((off/chunk+1)*chunk, length); off%chunk <= pageSize {
		if err := file.Fallocate(off, reserve-off); err != nil {
			return off, err
		}
	}
	if err := file.WriteZeros(off, end-off); err != nil {
		return off, err
	}
	fpBeforeFillSync.Hit()
	if err := file.Sync(); err != nil {
		return off, fmt.Errorf("%w: %w", errSync, err)
	}
	fpAfterFillSync.Hit()
	return end, nil
}

// errSync marks a failed sync, which is never tried again, whatever its cause.
var errSync = errors.New("sync failed")

// run fills until ctx ends or the disk fails. It writes by a handle of its own: a write-back error
// is told to each handle of a file once, and one that the filler took must reach the committer too.
func (f *filler) run(ctx context.Context) {
	var s *segment
	var file vfs.File
	letGo := func() {
		if s != nil {
			_ = file.Close() // every byte was synced
			s.release()
			s = nil
		}
	}
	defer letGo()
	for ctx.Err() == nil {
		if target := f.target(); target != s {
			letGo()
			h, err := f.l.opts.FS.Open(target.path)
			if err != nil {
				f.l.fence.raise(f.l, fmt.Errorf("fill segment %s ahead: %w", target.path, err))
				return
			}
			if !acquire(&target.refs) {
				_ = h.Close()
				return // Close has come before us
			}
			s, file = target, h
		}
		var err error
		switch {
		case s.filled.Load() < f.want(s):
			err = f.step(file, s)
		case f.wantsSpare(s):
			err = f.makeSpare(ctx)
		default:
			select {
			case <-f.wake:
			case <-ctx.Done():
			}
			continue
		}
		if errors.Is(err, vfs.ErrNoSpace) && !errors.Is(err, errSync) {
			f.full.Store(s.filled.Load()-s.need.Load() < FrameTarget)
			f.starve()
			signal(f.moved) // the committer looks at full when it has to stop
			f.pause(ctx)
			continue
		}
		if err != nil {
			f.l.fence.raise(f.l, err)
			return
		}
		f.full.Store(false)
		if f.short.Swap(false) {
			signal(f.l.queue.wake) // a roll or a proof may have been put off
		}
	}
}

// starve says that the disk is full, so that the encoder refuses what would wait for room.
func (f *filler) starve() {
	f.short.Store(true)
	signal(f.starved)
}

// holds reports whether what is filled takes so many bytes of requests behind those of the log's open frame,
// and the frame without records that proves them. It is the encoder's call.
func (f *filler) holds(open int, requests int64) bool {
	s := f.target()
	if s.header.base != f.l.active.base {
		return false // the segment has a plan and no file yet
	}
	// Two frames in a row are more than one target, and each has less than two pages beside its records.
	frames := 2*requests/FrameTarget + 2
	end := s.offset(f.l.tail.next) + pages(int64(open)+requests) + frames*2*pageSize + pageSize
	return end <= s.filled.Load()
}

// waitForRoom refuses requests and waits a while for a disk that is full. It is the committer's call.
func (f *filler) waitForRoom(ctx context.Context) error {
	f.full.Store(true)
	f.starve()
	t := f.l.opts.Clock.NewTimer(fullRetry)
	defer t.Stop()
	select {
	case <-t.C():
		return nil
	case <-f.l.fence.raised:
		return f.l.fence.err()
	case <-ctx.Done():
		return fmt.Errorf("%w: stopped while it waited for room", ErrFull)
	}
}

func (f *filler) pause(ctx context.Context) {
	t := f.l.opts.Clock.NewTimer(fullRetry)
	defer t.Stop()
	select {
	case <-t.C():
	case <-ctx.Done():
	}
}

// wantsSpare reports whether the next segment is near.
func (f *filler) wantsSpare(s *segment) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.spare == nil && s.need.Load() >= f.near(s)
}

// near is the file offset from which on the next segment is near.
func (f *filler) near(s *segment) int64 { return s.length - 2*f.l.opts.FillChunk }

// makeSpare makes the next segment's file and fills its first chunk.
func (f *filler) makeSpare(ctx context.Context) error {
	spare, err := f.l.newSpare(f.l.opts.SegmentSize)
	if err != nil {
		return err
	}
	for spare.filled < min(f.l.opts.FillChunk, spare.length) && ctx.Err() == nil && err == nil {
		spare.filled, err = f.fill(spare.file, spare.filled, spare.length)
	}
	if err != nil || ctx.Err() != nil {
		_ = spare.file.Close() // it holds nothing
		return errors.Join(err, f.l.opts.FS.Remove(spare.path))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.spare = spare
	return nil
}
