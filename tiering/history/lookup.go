package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Lookup returns sealed messages of a topic on a shard by a key or by their message id, newest first, at most limit. It
// looks at the head of the manifest first. Every segment with messages of the topic costs a small request, until there
// are enough messages.
func (h *History) Lookup(ctx context.Context, shard message.ShardID, topic message.TopicID, kind message.IndexKind, text string, limit int) ([]message.Located, error) {
	newest, err := h.newestChain(ctx, shard)
	if err != nil {
		return nil, err
	}
	got, err := fresh(ctx, h, shard, newest.sequence, func(c *chain) ([]message.Located, error) {
		return h.lookup(ctx, c, search{topic: topic, kind: kind, text: text, hash: message.IndexKey(topic, kind, text)}, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("look up %q in topic %s: %w", text, topic, err)
	}
	h.counters.messages.Add(uint64(len(got)))
	return got, nil
}

// search is what a lookup looks for.
type search struct {
	topic message.TopicID
	kind  message.IndexKind
	text  string
	hash  uint64
}

func (h *History) lookup(ctx context.Context, c *chain, s search, limit int) ([]message.Located, error) {
	var got []message.Located
	step := h.opts.Config.Parallel
	for rest := c.segments; len(rest) > 0 && len(got) < limit; {
		n := max(len(rest)-step, 0)
		found := make([][]message.Located, len(rest)-n)
		group, ctx := errgroup.WithContext(ctx)
		for i, seg := range rest[n:] {
			group.Go(func() (err error) {
				found[i], err = h.lookupSegment(ctx, c, seg, s)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		slices.Reverse(found)
		got = append(got, slices.Concat(found...)...)
		rest = rest[:n]
	}
	return got[:min(limit, len(got))], nil
}

// lookupSegment returns the messages that a segment has, newest first.
func (h *History) lookupSegment(ctx context.Context, c *chain, seg *sealed, s search) ([]message.Located, error) {
	objects, err := h.objectsWith(ctx, c, seg, s.topic)
	if err != nil || len(objects) == 0 {
		return nil, err
	}
	index, err := h.indexOf(ctx, c, seg)
	if err != nil {
		return nil, err
	}
	var got []message.Located
	for _, o := range index {
		if !objects[o.Object] {
			continue
		}
		if got, err = h.lookupObject(ctx, c, seg, o, s, got); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(got, func(a, b message.Located) int {
		at, bt := message.Stored(a.Stored).StoreTime(), message.Stored(b.Stored).StoreTime()
		return cmp.Or(cmp.Compare(bt, at), cmp.Compare(b.Offset, a.Offset))
	})
	return got, nil
}

// objectsWith returns the objects of a segment that have messages of the topic which are not past their retention.
func (h *History) objectsWith(ctx context.Context, c *chain, seg *sealed, topic message.TopicID) (map[int]bool, error) {
	runs, err := h.runsOf(ctx, c, seg)
	if err != nil {
		return nil, err
	}
	objects := map[int]bool{}
	for i := sort.Search(len(runs), func(i int) bool { return runs[i].Queue.Topic >= topic }); i < len(runs) && runs[i].Queue.Topic == topic; i++ {
		if runs[i].Next() > c.firstOf(runs[i].Queue) {
			objects[runs[i].Object] = true
		}
	}
	return objects, nil
}

func (h *History) lookupObject(ctx context.Context, c *chain, seg *sealed, o manifest.ObjectIndex, s search, got []message.Located) ([]message.Located, error) {
	fences := segment.FencesFor(o.Fences, s.hash)
	if len(fences) == 0 {
		return got, nil
	}
	src := segment.Object(h.store, seg.ObjectKey(seg.Objects[o.Object]))
	var numbers []uint32
	err := h.undamaged(func() (err error) {
		numbers, err = segment.LookupBlocks(ctx, src, o.Postings, fences, s.hash)
		return err
	})
	if err != nil {
		return nil, missing(err)
	}
	if len(numbers) == 0 {
		return got, nil
	}
	r, err := h.directory(ctx, seg, o.Object)
	if err != nil {
		return nil, err
	}
	for _, number := range numbers {
		place, ok := r.Directory().Block(int(number))
		if !ok {
			return nil, fmt.Errorf("%w: posting of block %d of %d", message.ErrCorrupt, number, r.Directory().NumBlocks())
		}
		if place.Queue.Topic != s.topic {
			continue // another topic's key has this hash
		}
		run := &queueRun{Run: manifest.Run{Queue: place.Queue, Object: o.Object}, sealed: seg}
		blocks := []segment.Block{place}
		b, err := h.block(ctx, run, blocks, 0, func() ([]segment.Block, bool) { return blocks, false })
		if err != nil {
			return nil, err
		}
		if got, err = b.search(got, s, c.firstOf(place.Queue)); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// search appends copies of the block's messages that have the key: its hash may be another's.
func (b *block) search(dst []message.Located, s search, first message.Offset) ([]message.Located, error) {
	rest := b.records
	for offset := b.place.First; offset < b.place.Next(); offset++ {
		r, n, err := message.DecodeRecord(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
		if offset < first {
			continue
		}
		m, err := message.DecodeStored(r.Body)
		if err != nil {
			return nil, fmt.Errorf("offset %d of queue %s: %w", offset, b.place.Queue, err)
		}
		if s.matches(&m) {
			dst = append(dst, message.Located{Queue: b.place.Queue, Offset: offset, Stored: slices.Clone(r.Body)})
		}
	}
	return dst, nil
}

func (s search) matches(m *message.Message) bool {
	if s.kind == message.IndexByID {
		id, _ := message.Property(m.Properties, message.PropertyMessageID)
		return string(id) == s.text
	}
	keys, _ := message.Property(m.Properties, message.PropertyKeys)
	for key := range strings.FieldsSeq(string(keys)) {
		if key == s.text {
			return true
		}
	}
	return false
}
