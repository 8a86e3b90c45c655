package history

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// queueRuns is where a queue lies in the segments of a chain. It does not change.
type queueRuns struct {
	segments int // of the chain that were looked at, from the oldest on
	runs     []queueRun
}

// queueRun is a run and the segment that has it.
type queueRun struct {
	manifest.Run

	sealed *sealed
}

func (r *queueRun) object() objectID { return objectID{r.sealed.id(), r.Object} }

// runsOfQueue returns where a queue lies in all segments of a chain. Only segments that are new since the last time
// are looked at.
func (h *History) runsOfQueue(ctx context.Context, c *chain, queue message.Queue) (*queueRuns, error) {
	id := queueID{c.shard, queue}
	have, ok := h.queues.get(id)
	if ok && have.segments >= len(c.segments) {
		return have, nil
	}
	key := fmt.Sprintf("queue/%d/%s/%d", c.shard, queue, len(c.segments))
	return share(ctx, h, key, func(ctx context.Context) (*queueRuns, error) {
		next, from := &queueRuns{segments: len(c.segments)}, 0
		if have != nil {
			next.runs, from = slices.Clip(have.runs), have.segments
		}
		found, err := h.findRuns(ctx, c, c.segments[from:], queue)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			n := len(next.runs)
			if n > 0 && r.First <= c.firstOf(queue) {
				next.runs, n = nil, 0 // what lies before is past its retention, and there may be holes in it
			}
			if n > 0 && r.First != next.runs[n-1].Next() {
				return nil, fmt.Errorf("%w: queue %s goes on at offset %d in entry %d, expected %d", message.ErrCorrupt, queue, r.First, r.sealed.Sequence, next.runs[n-1].Next())
			}
			next.runs = append(next.runs, r)
		}
		h.queues.put(id, next, itemCost+int64(len(next.runs))*runCost)
		return next, nil
	})
}

// findRuns looks for a queue in segments, several at once.
func (h *History) findRuns(ctx context.Context, c *chain, segments []*sealed, queue message.Queue) ([]queueRun, error) {
	found := make([]queueRun, len(segments))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(h.opts.Config.Parallel)
	for i, s := range segments {
		group.Go(func() error {
			runs, err := h.runsOf(ctx, c, s)
			if err != nil {
				return err
			}
			if run, ok := manifest.FindRun(runs, queue); ok {
				if run.Object >= len(s.Objects) {
					return fmt.Errorf("%w: queue %s in object %d of %d", message.ErrCorrupt, queue, run.Object, len(s.Objects))
				}
				found[i] = queueRun{Run: run, sealed: s}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	kept := found[:0]
	for _, r := range found {
		if r.sealed != nil {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// at returns the number of the run that has the offset, or of the first one behind it.
func (q *queueRuns) at(offset message.Offset) int {
	return sort.Search(len(q.runs), func(i int) bool { return q.runs[i].Next() > offset })
}

// next returns the offset behind the last sealed message of the queue, 0 if there is none.
func (q *queueRuns) next() message.Offset {
	if len(q.runs) == 0 {
		return 0
	}
	return q.runs[len(q.runs)-1].Next()
}

// QueueBounds returns the offsets of a queue that can be read here, [first, next): first is that of the queue in any
// tier, next the end of its sealed part.
func (h *History) QueueBounds(ctx context.Context, shard message.ShardID, queue message.Queue) (first, next message.Offset, err error) {
	c, err := h.newestChain(ctx, shard)
	if err != nil {
		return 0, 0, err
	}
	runs, err := h.runsOfQueue(ctx, c, queue)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of queue %s: %w", queue, err)
	}
	first = c.firstOf(queue)
	return first, max(first, runs.next()), nil
}

// hole is the error of an offset that has to be in the bucket and of which no segment knows.
func hole(queue message.Queue, offset message.Offset) error {
	return fmt.Errorf("%w: no segment has offset %d of queue %s", tiering.ErrMissingObject, offset, queue)
}
