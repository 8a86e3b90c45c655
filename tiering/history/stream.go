package history

import (
	"context"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/segment"
)

// streamID is where a sequential reader will go on. Readers have no names: whoever reads from where another read ended is
// taken for the same one.
type streamID struct {
	queueID

	offset message.Offset
}

// stream is what is kept for a reader that goes on where it ended. It belongs to the read that took it.
type stream struct {
	block   *block        // in which the reader stands; nil before the first
	window  int64         // bytes of the last fetch; 0 before the first
	fetched place         // up to where ranges have been fetched, or are being
	pending ahead         // the range that is being fetched ahead
	touched time.Duration // by the boot clock: when the last read ended
}

// place is a block by its place among those of its queue in its object.
type place struct {
	object objectID
	index  int
}

// ahead is a range that was asked for before it was needed.
type ahead struct {
	place

	bytes int64 // 0: there is none
}

func (s *stream) cost() int64 {
	if s.block == nil {
		return itemCost
	}
	return itemCost + s.block.cost()
}

// firstStep is the least range that a sequential reader fetches, in bytes; it doubles from there.
const firstStep = 1 << 20

// streamLife is how long a sequential reader that does not read on counts as one.
const streamLife = 10 * time.Second

// step returns how many bytes the next range of a sequential reader has. Many readers share the room that there is: the
// range that one is in and the one that is fetched ahead must still be there when it needs them.
func (h *History) step(last int64) int64 {
	now := h.opts.Clock.Boot()
	active := 1 + h.streams.count(func(s *stream) bool { return s.window > 0 && now-s.touched < streamLife })
	return min(max(2*last, firstStep), h.opts.Config.Window, h.opts.Config.WindowCache/int64(3*active))
}

// readAhead fetches the range behind the one that a sequential reader is half through.
func (h *History) readAhead(ctx context.Context, runs []queueRun, blocks []segment.Block, at int, s *stream) {
	if !h.opts.Config.ReadAhead || s.window == 0 || len(runs) == 0 {
		return
	}
	object := runs[0].object()
	if s.fetched.object != object || s.fetched.index <= at || s.pending.bytes > 0 && s.pending.place == s.fetched {
		return
	}
	left := int64(0)
	for _, b := range blocks[at:s.fetched.index] {
		left += int64(b.Length)
	}
	if 2*left > s.window {
		return
	}
	next, from := &runs[0], s.fetched.index
	if from >= len(blocks) {
		if len(runs) == 1 {
			return
		}
		next, from = &runs[1], 0
	}
	step := h.step(s.window)
	if !h.inFlight.TryAcquire(step) {
		return
	}
	h.inFlight.Release(step) // a hint only: the fetch waits for its turn like any other
	s.pending = ahead{place: place{next.object(), from}, bytes: step}
	s.fetched = s.pending.place
	ctx = context.WithoutCancel(ctx)
	h.spawn(func() { h.fetchAhead(ctx, next, from, step) })
}

// fetchAhead makes a range ready. What fails here fails again for the reader, who hears of it then.
func (h *History) fetchAhead(ctx context.Context, run *queueRun, from int, bytes int64) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.Config.RequestTimeout)
	defer cancel()
	blocks, err := h.blocksOf(ctx, run)
	if err != nil {
		return
	}
	if h.windows.get(blockID{run.object(), blocks[from].Number}) != nil {
		return
	}
	if _, err := h.fetchWindow(ctx, run.sealed, run.Object, windowFrom(blocks, from, bytes), true); err == nil {
		h.counters.readAheads.Add(1)
	}
}
