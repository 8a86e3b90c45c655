package commitlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/internal/vfs"
)

// write brings frames to the disk one at a time, and is the only one who does. The first failure
// fences the log; what comes after is answered without being written. A stop while a frame waits for room
// is no failure: the log ends before that frame, whose requests are refused.
func (c *committer) write(ctx context.Context) {
	defer close(c.toApply)
	l := c.l
	var noRoom error // the log stops on a full disk: this frame was not written, so nothing behind it is
	for f := range c.toWrite {
		f.err = cmp.Or(l.fence.err(), noRoom)
		if f.err == nil {
			switch err := l.commit(ctx, f); {
			case errors.Is(err, ErrFull):
				noRoom, f.err = err, err
			case err != nil:
				l.fence.raise(l, err)
				f.err = l.fence.err()
			}
		}
		l.queue.written(f.bytes)
		if l.fence.err() == nil {
			c.ready <- struct{}{}
		}
		c.toApply <- f
	}
}

// commit writes a sealed frame and makes it durable. Its local requests are answered in between.
func (l *Log) commit(ctx context.Context, f *frameBuf) error {
	if f.create != nil {
		if err := l.roll(ctx, f.create); err != nil {
			return err
		}
	}
	s := l.written
	off := s.offset(f.head.position)
	end := off + int64(len(f.buf))
	if err := l.filler.wait(ctx, s, end); err != nil {
		return err
	}
	fpBeforeWrite.Hit()
	if n, err := s.file.WriteAt(f.buf, off); err != nil {
		return fmt.Errorf("write frame at position %d: %d of %d bytes: %w", uint64(f.head.position), n, len(f.buf), err)
	}
	fpAfterWrite.Hit()
	if bugAnswerBeforeSync {
		f.answer(AckDurable, nil)
	}
	if f.local > 0 {
		f.answer(AckLocal, nil)
	}
	fpBeforeSync.Hit()
	began := l.opts.Clock.Boot()
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync frame at position %d: %w", uint64(f.head.position), err)
	}
	fpAfterSync.Hit()
	// A failed sync of the filler may have taken an error that was meant for these very pages.
	if err := l.fence.err(); err != nil {
		return err
	}
	// A file that was cut takes a write beyond its end as if nothing were missing before it.
	if err := s.checkLength(f.head.position); err != nil {
		return err
	}
	l.watermark.Store(uint64(f.head.end()))
	if fn := l.opts.Events.Committed; fn != nil {
		fn(len(f.buf), int(f.head.count), l.since(began))
	}
	return nil
}

// answer calls Done once for each request of the frame with that ack mode.
func (f *frameBuf) answer(mode AckMode, err error) {
	for i, r := range f.reqs {
		if r != nil && r.Ack == mode {
			f.reqs[i] = nil
			r.Done(err)
		}
	}
}

// roll makes the segment that the encoder planned the active one. Everything before it is durable.
// A disk without room for it is waited for, as the filler waits.
func (l *Log) roll(ctx context.Context, h *segmentHeader) error {
	s, err := l.createSegment(*h, l.filler.takeSpare(h.length))
	for errors.Is(err, vfs.ErrNoSpace) && !errors.Is(err, errSync) && l.filler.running {
		if waited := l.filler.waitForRoom(ctx); waited != nil {
			return waited
		}
		s, err = l.createSegment(*h, l.filler.takeSpare(h.length))
	}
	if err != nil {
		return err
	}
	l.written = s
	l.publish(s)
	l.filler.follow(s)
	if fn := l.opts.Events.Rolled; fn != nil {
		fn(s.info(s.header.base, true))
	}
	return nil
}

// apply shows committed frames to the caller's state machines, answers, and gives buffers back. It
// returns when the writer has.
func (c *committer) apply() {
	l := c.l
	for f := range c.toApply {
		if f.err == nil && l.opts.Apply != nil {
			l.opts.Apply(f.frame())
		}
		fpBeforeAnswer.Hit()
		f.answer(AckDurable, f.err)
		f.answer(AckLocal, f.err) // those that the write itself failed
		f.reset()
		c.free <- f
	}
}
