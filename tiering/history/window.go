package history

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/tiering/segment"
)

// window is a range of whole blocks of one queue in one object, as it was fetched. What is in it has not been verified.
type window struct {
	object objectID
	blocks []segment.Block // one behind the other
	raw    []byte

	mu struct {
		sync.Mutex
		unused int // blocks that nobody has decoded yet
	}
}

// stored returns the bytes of a block.
func (w *window) stored(b segment.Block) []byte {
	start := b.Position - w.blocks[0].Position
	return w.raw[start : start+int64(b.Length)]
}

// used notes that a block was decoded, and reports whether it was the last one.
func (w *window) used() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.unused--
	return w.mu.unused <= 0
}

// windowCache keeps the windows whose blocks have not all been used, up to a sum of bytes; those go first that were not
// used for longest.
type windowCache struct {
	limit int64

	mu struct {
		sync.Mutex
		bytes   int64
		byBlock map[blockID]*window
		order   []*window // the last used one at the end; few, since each is large or soon used up
	}
}

func newWindowCache(limit int64) *windowCache {
	c := &windowCache{limit: limit}
	c.mu.byBlock = make(map[blockID]*window)
	return c
}

func (c *windowCache) get(id blockID) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.mu.byBlock[id]
	if i := slices.Index(c.mu.order, w); i >= 0 && i < len(c.mu.order)-1 {
		c.mu.order = append(slices.Delete(c.mu.order, i, i+1), w)
	}
	return w
}

func (c *windowCache) put(w *window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int64(len(w.raw)) > c.limit {
		return
	}
	for _, b := range w.blocks {
		c.mu.byBlock[blockID{w.object, b.Number}] = w
	}
	c.mu.order = append(c.mu.order, w)
	c.mu.bytes += int64(len(w.raw))
	for c.mu.bytes > c.limit {
		c.dropLocked(c.mu.order[0])
	}
}

func (c *windowCache) drop(w *window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropLocked(w)
}

func (c *windowCache) dropLocked(w *window) {
	i := slices.Index(c.mu.order, w)
	if i < 0 {
		return
	}
	c.mu.order = slices.Delete(c.mu.order, i, i+1)
	c.mu.bytes -= int64(len(w.raw))
	for _, b := range w.blocks {
		id := blockID{w.object, b.Number}
		if c.mu.byBlock[id] == w {
			delete(c.mu.byBlock, id)
		}
	}
}

// fetchWindow fetches a range of blocks, one behind the other, in one request. Paced says that a sequential reader wants
// it, whose rate is bounded.
func (h *History) fetchWindow(ctx context.Context, s *sealed, number int, blocks []segment.Block, paced bool) (*window, error) {
	first, last := blocks[0], blocks[len(blocks)-1]
	key := flightKey(fmt.Sprintf("window/%d-%d", first.Number, last.Number), s.Shard, s.Sequence, number)
	return share(ctx, h, key, func(ctx context.Context) (*window, error) {
		n := last.Position + int64(last.Length) - first.Position
		reserved := min(n, h.opts.Config.InFlight)
		if err := h.inFlight.Acquire(ctx, reserved); err != nil {
			return nil, fmt.Errorf("wait for other fetches: %w", err)
		}
		defer h.inFlight.Release(reserved)
		if paced {
			if err := h.rate.take(ctx, n); err != nil {
				return nil, err
			}
		}
		w := &window{object: objectID{s.id(), number}, blocks: blocks, raw: make([]byte, n)}
		w.mu.unused = len(blocks)
		if err := h.store.GetRange(ctx, s.ObjectKey(s.Objects[number]), w.raw, first.Position); err != nil {
			return nil, missing(err)
		}
		h.windows.put(w)
		return w, nil
	})
}

// windowFrom returns the blocks from the i-th on that make up about so many bytes, at least one.
func windowFrom(blocks []segment.Block, i int, bytes int64) []segment.Block {
	n, total := 1, int64(blocks[i].Length)
	for i+n < len(blocks) && total+int64(blocks[i+n].Length) <= bytes {
		total += int64(blocks[i+n].Length)
		n++
	}
	return blocks[i : i+n : i+n]
}
