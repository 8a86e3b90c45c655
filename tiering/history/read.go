package history

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Read returns messages of a queue from an offset on, in order and without a hole: at most limit and, beyond the first,
// maxBytes of them. Their bytes are shared: the caller may keep them, but not change them. MinSealSequence is the newest seal that the shard has reported. An
// offset behind what is sealed gives no messages; one before the queue's first offset fails with [ErrGone], one whose
// object is not there with [tiering.ErrMissingObject].
func (h *History) Read(ctx context.Context, shard message.ShardID, queue message.Queue, from message.Offset, limit, maxBytes int, minSealSequence uint64) ([]message.Located, error) {
	read := func(c *chain) ([]message.Located, error) { return h.read(ctx, c, queue, from, limit, maxBytes) }
	got, err := fresh(ctx, h, shard, minSealSequence, read)
	if err == nil && len(got) == 0 && limit > 0 {
		// A shard that was just started does not know its last seal yet, but it knows that the offset is not local.
		got, err = h.readNewest(ctx, shard, read)
	}
	if err != nil {
		return nil, fmt.Errorf("read queue %s from offset %d: %w", queue, from, err)
	}
	h.counters.messages.Add(uint64(len(got)))
	return got, nil
}

// readNewest reads again if there is more in the bucket than was known.
func (h *History) readNewest(ctx context.Context, shard message.ShardID, read func(*chain) ([]message.Located, error)) ([]message.Located, error) {
	known, err := h.chainAt(ctx, shard, 0)
	if err != nil {
		return nil, err
	}
	newest, err := h.newestChain(ctx, shard)
	if err != nil || newest == known {
		return nil, err
	}
	return fresh(ctx, h, shard, newest.sequence, read)
}

// fresh asks a chain. If an object that it names is not there, the manifest is read again, once: retention may have
// passed it meanwhile. If it is still missing after that, it should not be.
func fresh[T any](ctx context.Context, h *History, shard message.ShardID, sequence uint64, ask func(*chain) (T, error)) (T, error) {
	var zero T
	c, err := h.chainAt(ctx, shard, sequence)
	if err != nil {
		return zero, err
	}
	answer, err := ask(c)
	if !errors.Is(err, tiering.ErrMissingObject) {
		return answer, err
	}
	newer, refreshErr := h.newestChain(ctx, shard)
	if refreshErr != nil {
		return zero, errors.Join(err, refreshErr)
	}
	if newer != c {
		if answer, err = ask(newer); !errors.Is(err, tiering.ErrMissingObject) {
			return answer, err
		}
	}
	h.counters.missing.Add(1)
	h.opts.Logger.Error("a sealed object is missing; its messages cannot be read", "shard", shard, "err", err)
	return zero, err
}

func (h *History) read(ctx context.Context, c *chain, queue message.Queue, from message.Offset, limit, maxBytes int) ([]message.Located, error) {
	if first := c.firstOf(queue); from < first {
		return nil, fmt.Errorf("%w: the queue begins at %d", ErrGone, first)
	}
	runs, err := h.runsOfQueue(ctx, c, queue)
	if err != nil {
		return nil, err
	}
	i := runs.at(from)
	if i == len(runs.runs) || limit <= 0 {
		return nil, nil
	}
	if from < runs.runs[i].First {
		return nil, hole(queue, from)
	}
	id := queueID{c.shard, queue}
	s, ok := h.streams.take(streamID{id, from})
	if !ok {
		s = &stream{}
	}
	r := reading{h: h, stream: s, next: from, limit: limit, maxBytes: maxBytes}
	for ; i < len(runs.runs) && !r.full(); i++ {
		if err := r.run(ctx, runs.runs[i:]); err != nil {
			if len(r.got.messages) == 0 {
				return nil, err
			}
			break // what was read is good; who goes on from there meets the error
		}
	}
	if s.block != nil && (!s.block.loose() || r.next >= s.block.place.Next()) {
		s.block = nil
	}
	s.touched = h.opts.Clock.Boot()
	h.streams.put(streamID{id, r.next}, s, s.cost())
	h.counters.messageBytes.Add(uint64(r.got.bytes))
	return r.got.release(), nil
}

// reading is one read that is under way.
type reading struct {
	h        *History
	stream   *stream
	next     message.Offset
	limit    int
	maxBytes int
	got      answer
}

func (r *reading) full() bool {
	return len(r.got.messages) >= r.limit || len(r.got.messages) > 0 && r.got.bytes >= r.maxBytes
}

// run reads on through the first of runs; those behind it are for reading ahead.
func (r *reading) run(ctx context.Context, runs []queueRun) error {
	blocks, err := r.h.blocksOf(ctx, &runs[0])
	if err != nil {
		return err
	}
	at := sort.Search(len(blocks), func(i int) bool { return blocks[i].Next() > r.next })
	for ; at < len(blocks) && !r.full(); at++ {
		b, err := r.block(ctx, &runs[0], blocks, at)
		if err != nil {
			return err
		}
		n, err := r.got.take(b, r.next, r.limit-len(r.got.messages), r.maxBytes-r.got.bytes)
		if err != nil {
			return err
		}
		r.next += message.Offset(n)
		r.h.readAhead(ctx, runs, blocks, at, r.stream)
		if n == 0 || r.next < b.place.Next() {
			r.maxBytes = r.got.bytes // the next message does not fit
			return nil
		}
	}
	return nil
}

// block returns a block, fetching as much beside it as this read and its stream will need.
func (r *reading) block(ctx context.Context, run *queueRun, blocks []segment.Block, at int) (*block, error) {
	id := blockID{run.object(), blocks[at].Number}
	if b := r.stream.block; b != nil && b.id == id {
		r.h.counters.blockHits.Add(1)
		return b, nil
	}
	b, err := r.h.block(ctx, run, blocks, at, func() ([]segment.Block, bool) { return r.window(run, blocks, at) })
	if err != nil {
		return nil, err
	}
	r.stream.block = b
	return b, nil
}

// window decides what to fetch for a block that nobody has, and whether it is paced.
func (r *reading) window(run *queueRun, blocks []segment.Block, at int) ([]segment.Block, bool) {
	s := r.stream
	if p := s.pending; p.bytes > 0 && p.object == run.object() && p.index <= at {
		// It is being fetched ahead: join that.
		if w := windowFrom(blocks, p.index, p.bytes); at < p.index+len(w) {
			r.fetching(run, p.index, w)
			return w, true
		}
	}
	paced := s.window > 0
	bytes := r.h.step(s.window)
	if !paced {
		bytes = r.need(blocks[at:])
	}
	w := windowFrom(blocks, at, bytes)
	r.fetching(run, at, w)
	return w, paced
}

// fetching notes the range that the stream gets.
func (r *reading) fetching(run *queueRun, from int, w []segment.Block) {
	first, last := w[0], w[len(w)-1]
	r.stream.window = last.Position + int64(last.Length) - first.Position
	if end := (place{run.object(), from + len(w)}); r.stream.fetched.object != end.object || r.stream.fetched.index < end.index {
		r.stream.fetched = end
	}
}

// need returns how many bytes of the blocks the rest of this read takes at most.
func (r *reading) need(blocks []segment.Block) int64 {
	bytes, messages := int64(0), r.limit-len(r.got.messages)+int(r.next-blocks[0].First)
	for _, b := range blocks {
		if messages <= 0 || bytes >= int64(r.maxBytes-r.got.bytes) || bytes+int64(b.Length) > r.h.opts.Config.Window {
			break
		}
		bytes += int64(b.Length)
		messages -= b.Count
	}
	return bytes
}

// blocksOf returns the blocks of a queue in the object that has its run.
func (h *History) blocksOf(ctx context.Context, run *queueRun) ([]segment.Block, error) {
	r, err := h.directory(ctx, run.sealed, run.Object)
	if err != nil {
		return nil, err
	}
	q, ok := r.Directory().Find(run.Queue)
	if !ok || q.First != run.First || q.Count != run.Count {
		return nil, fmt.Errorf("%w: %s has offsets [%d, %d) of queue %s, its consumeQueue value says [%d, %d)", message.ErrCorrupt,
			run.sealed.ObjectKey(run.sealed.Objects[run.Object]), q.First, q.Next(), run.Queue, run.First, run.Next())
	}
	return r.Directory().BlocksOf(q), nil
}

// block returns a block of a run, decoded and verified: from the cache, from a range that was read before, or by fetching
// the range that window chooses. Damaged bytes are fetched again, alone.
func (h *History) block(ctx context.Context, run *queueRun, blocks []segment.Block, at int, window func() ([]segment.Block, bool)) (*block, error) {
	id := blockID{run.object(), blocks[at].Number}
	if b, ok := h.blocks.Get(id.hash()); ok && b.id == id {
		h.counters.blockHits.Add(1)
		return b, nil
	}
	w := h.windows.get(id)
	if w != nil {
		h.counters.windowHits.Add(1)
	} else {
		h.counters.blockMisses.Add(1)
		want, paced := window()
		var err error
		if w, err = h.fetchWindow(ctx, run.sealed, run.Object, want, paced); err != nil {
			return nil, err
		}
	}
	b, err := decodeBlock(id, blocks[at], w)
	for attempt := 1; errors.Is(err, message.ErrCorrupt) && attempt < maxFetches; attempt++ {
		h.counters.damaged.Add(1)
		h.windows.drop(w)
		if w, err = h.fetchWindow(ctx, run.sealed, run.Object, blocks[at:at+1:at+1], false); err == nil {
			b, err = decodeBlock(id, blocks[at], w)
		}
	}
	if err != nil {
		if w != nil {
			h.windows.drop(w)
		}
		return nil, fmt.Errorf("block %d of %s: %w", id.number, run.sealed.ObjectKey(run.sealed.Objects[run.Object]), err)
	}
	if b.loose() {
		if w.used() {
			h.windows.drop(w)
		}
		h.blocks.Set(id.hash(), b, b.cost())
	}
	return b, nil
}
