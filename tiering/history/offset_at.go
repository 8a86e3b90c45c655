package history

import (
	"context"
	"fmt"
	"sort"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/segment"
)

// OffsetAt returns the first sealed offset of a queue that was stored at or after a time, in milliseconds since 1970;
// false if there is none. Store times never go back, so the answer is exact. See [History.Read] for minSealSequence.
func (h *History) OffsetAt(ctx context.Context, shard message.ShardID, queue message.Queue, unixMs int64, minSealSequence uint64) (message.Offset, bool, error) {
	type answer struct {
		offset message.Offset
		found  bool
	}
	a, err := fresh(ctx, h, shard, minSealSequence, func(c *chain) (answer, error) {
		offset, found, err := h.offsetAt(ctx, c, queue, unixMs)
		return answer{offset, found}, err
	})
	if err != nil {
		return 0, false, fmt.Errorf("find time %d in queue %s: %w", unixMs, queue, err)
	}
	return a.offset, a.found, nil
}

func (h *History) offsetAt(ctx context.Context, c *chain, queue message.Queue, unixMs int64) (message.Offset, bool, error) {
	runs, err := h.runsOfQueue(ctx, c, queue)
	if err != nil {
		return 0, false, err
	}
	first := c.firstOf(queue)
	kept := runs.runs[runs.at(first):]
	i := sort.Search(len(kept), func(i int) bool { return kept[i].MaxTime >= unixMs })
	if i == len(kept) {
		return 0, false, nil
	}
	run := &kept[i]
	if run.MinTime >= unixMs {
		return max(run.First, first), true, nil
	}
	blocks, err := h.blocksOf(ctx, run)
	if err != nil {
		return 0, false, err
	}
	at := sort.Search(len(blocks), func(i int) bool { return blocks[i].MaxTime >= unixMs })
	if at == len(blocks) {
		return 0, false, fmt.Errorf("%w: blocks of queue %s end before %d", message.ErrCorrupt, queue, run.MaxTime)
	}
	if blocks[at].MinTime >= unixMs {
		return max(blocks[at].First, first), true, nil
	}
	b, err := h.block(ctx, run, blocks, at, func() ([]segment.Block, bool) { return blocks[at : at+1 : at+1], false })
	if err != nil {
		return 0, false, err
	}
	offset, err := b.offsetAt(unixMs)
	return max(offset, first), err == nil, err
}

// offsetAt returns the first offset of the block that was stored at or after a time; the block has one.
func (b *block) offsetAt(unixMs int64) (message.Offset, error) {
	rest := b.records
	for offset := b.place.First; offset < b.place.Next(); offset++ {
		r, n, err := message.DecodeRecord(rest)
		if err != nil {
			return 0, err
		}
		m, err := message.DecodeStored(r.Body)
		if err != nil {
			return 0, err
		}
		if m.StoreTime >= unixMs {
			return offset, nil
		}
		rest = rest[n:]
	}
	return 0, fmt.Errorf("%w: block %d of queue %s ends before %d", message.ErrCorrupt, b.id.number, b.place.Queue, b.place.MaxTime)
}
