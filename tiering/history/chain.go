package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// shardManifest is what is known of a shard's chain. It only grows.
type shardManifest struct {
	id      message.ShardID
	loading chan struct{} // capacity 1: who holds it refreshes
	current atomic.Pointer[chain]
}

// chain is a shard's manifest up to an entry; it does not change.
type chain struct {
	shard    message.ShardID
	sequence uint64           // of the newest entry; 0: nothing is sealed
	hash     meta.EntryHash   // of the newest entry
	end      message.Position // of the sealed part of the log
	segments []*sealed        // entries that seal, oldest first
	first    map[message.Queue]message.Offset
	deleted  map[string]struct{} // keys of objects that retention deletes
	snapshot *sealed             // the newest entry with a snapshot; nil without one
}

// sealed is a segment in the bucket.
type sealed struct {
	manifest.Entry
}

func (s *sealed) id() segmentID { return segmentID{shard: s.Shard, sequence: s.Sequence} }

// gone reports whether retention may have deleted an object.
func (c *chain) gone(key string) bool {
	_, ok := c.deleted[key]
	return ok
}

// firstOf returns where a queue begins, in any tier.
func (c *chain) firstOf(queue message.Queue) message.Offset { return c.first[queue] }

// chainAt returns the chain of a shard, at least up to the entry of that sequence.
func (h *History) chainAt(ctx context.Context, shard message.ShardID, sequence uint64) (*chain, error) {
	m, err := h.shard(shard)
	if err != nil {
		return nil, err
	}
	if c := m.current.Load(); c != nil && c.sequence >= sequence {
		return c, nil
	}
	return h.refresh(ctx, m, func(c *chain) bool { return c != nil && c.sequence >= sequence }, sequence)
}

// newestChain returns the chain of a shard after a look at the head.
func (h *History) newestChain(ctx context.Context, shard message.ShardID) (*chain, error) {
	m, err := h.shard(shard)
	if err != nil {
		return nil, err
	}
	return h.refresh(ctx, m, func(*chain) bool { return false }, 0)
}

// refresh extends the chain, one caller at a time; those who waited may find that it is good by now.
func (h *History) refresh(ctx context.Context, m *shardManifest, good func(*chain) bool, sequence uint64) (*chain, error) {
	select {
	case m.loading <- struct{}{}:
		defer func() { <-m.loading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	have := m.current.Load()
	if good(have) {
		return have, nil
	}
	if have == nil {
		have = &chain{shard: m.id}
	}
	h.counters.refreshes.Add(1)
	next, err := h.extend(ctx, have, sequence)
	if err != nil {
		return nil, fmt.Errorf("manifest of shard %s: %w", m.id, err)
	}
	m.current.Store(next)
	return next, nil
}

// extend reads the entries behind a chain. The head in the metadata store is asked first; if it cannot be read, or is
// older than the seal that was asked for, the entries in the bucket are enough: a shard reports a seal only when its
// entry is there.
func (h *History) extend(ctx context.Context, have *chain, sequence uint64) (*chain, error) {
	next, head, headErr := h.extendToHead(ctx, have)
	if headErr == nil && next.sequence >= sequence {
		return next, nil
	}
	if errors.Is(headErr, errForked) {
		return nil, headErr
	}
	if headErr == nil {
		have = next
	}
	next, err := h.extendFromBucket(ctx, have)
	if err != nil {
		return nil, errors.Join(err, headErr)
	}
	// A head that was read names entries that exist: a bucket that does not show them all has lost some, or cannot be seen.
	if sequence = max(sequence, head); next.sequence < sequence {
		return nil, errors.Join(fmt.Errorf("%w: it ends at %d, not %d", ErrBehind, next.sequence, sequence), headErr)
	}
	return next, nil
}

var errForked = fmt.Errorf("%w: the chain of entries is broken", message.ErrCorrupt)

// extendToHead reads the entries up to the head in the metadata store. It returns the head's sequence also if that fails; 0
// if the head cannot be read.
func (h *History) extendToHead(ctx context.Context, have *chain) (next *chain, head uint64, err error) {
	v, err := h.opts.Meta.Get(ctx, meta.BucketManifests, meta.ShardKey(have.shard))
	if err != nil {
		return nil, 0, fmt.Errorf("read manifest head: %w", err)
	}
	newest, err := meta.DecodeManifestHead(v.Data)
	if err != nil {
		return nil, 0, fmt.Errorf("read manifest head: %w", err)
	}
	if newest.Sequence <= have.sequence {
		if newest.Sequence == have.sequence && newest.Hash != have.hash {
			return nil, newest.Sequence, fmt.Errorf("%w: entry %d is %s in the head, %s here", errForked, newest.Sequence, newest.Hash, have.hash)
		}
		return have, newest.Sequence, nil // a read may be stale
	}
	raws := make([][]byte, newest.Sequence-have.sequence)
	raws[len(raws)-1] = newest.Entry
	if err := h.readEntries(ctx, have, raws[:len(raws)-1]); err != nil {
		return nil, newest.Sequence, err
	}
	next, err = h.link(have, raws)
	return next, newest.Sequence, err
}

// extendFromBucket follows the entries in the bucket as far as they go.
func (h *History) extendFromBucket(ctx context.Context, have *chain) (*chain, error) {
	n := uint64(0)
	after := manifest.EntryKey(h.opts.Cluster, have.shard, have.sequence)
	for info, err := range h.opts.Store.List(ctx, manifest.EntryPrefix(h.opts.Cluster, have.shard), after) {
		if err != nil {
			return nil, fmt.Errorf("list manifest entries: %w", err)
		}
		if info.Key != manifest.EntryKey(h.opts.Cluster, have.shard, have.sequence+n+1) {
			break // a list may be stale: what follows the hole is for later
		}
		n++
	}
	raws := make([][]byte, n)
	if err := h.readEntries(ctx, have, raws); err != nil {
		return nil, err
	}
	return h.link(have, raws)
}

// readEntries fills raws with the bytes of the entries behind a chain.
func (h *History) readEntries(ctx context.Context, have *chain, raws [][]byte) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(h.opts.Config.Parallel)
	for i := range raws {
		sequence := have.sequence + uint64(i) + 1
		group.Go(func() error {
			return h.undamaged(func() error {
				_, raw, err := manifest.ReadEntry(ctx, h.store, h.opts.Cluster, have.shard, sequence)
				raws[i] = raw
				return err
			})
		})
	}
	err := group.Wait()
	if errors.Is(err, tiering.ErrNotFound) {
		return fmt.Errorf("%w: %w", tiering.ErrMissingObject, err)
	}
	return err
}

// link checks that the entries follow a chain, and returns the longer one.
func (h *History) link(have *chain, raws [][]byte) (*chain, error) {
	next := *have
	for _, raw := range raws {
		e, err := manifest.DecodeEntry(raw)
		if err != nil {
			return nil, err
		}
		if e.Sequence != next.sequence+1 || e.Previous != next.hash || e.Shard != next.shard || e.Cluster != h.opts.Cluster ||
			next.sequence > 0 && e.Base != next.end {
			return nil, fmt.Errorf("%w: entry %d of shard %s of %q from %s does not follow entry %d up to %s", errForked, e.Sequence, e.Shard, e.Cluster, e.Base, next.sequence, next.end)
		}
		s := &sealed{e}
		next.sequence, next.hash, next.end = e.Sequence, meta.HashEntry(raw), e.End
		if e.Seals() {
			next.segments = append(next.segments, s) // only the newest chain is ever extended
		}
		if e.Snapshot.Size > 0 {
			next.snapshot = s
		}
		next.expire(&e)
	}
	return &next, nil
}

// expire takes over what retention has done. Maps are copied: readers hold the old ones.
func (c *chain) expire(e *manifest.Entry) {
	if len(e.FirstOffsets) > 0 {
		first := make(map[message.Queue]message.Offset, len(c.first)+len(e.FirstOffsets))
		maps.Copy(first, c.first)
		for _, f := range e.FirstOffsets {
			first[f.Queue] = max(first[f.Queue], f.Offset)
		}
		c.first = first
	}
	if len(e.Deletions) > 0 {
		deleted := make(map[string]struct{}, len(c.deleted)+len(e.Deletions))
		maps.Copy(deleted, c.deleted)
		for _, key := range e.Deletions {
			deleted[key] = struct{}{}
		}
		c.deleted = deleted
	}
}

// maxFetches is how often bytes are fetched until they are undamaged: most damage happens on the way.
const maxFetches = 3

// undamaged repeats a fetch whose bytes failed their checksum.
func (h *History) undamaged(fetch func() error) error {
	var err error
	for range maxFetches {
		if err = fetch(); !errors.Is(err, message.ErrCorrupt) && !errors.Is(err, tiering.ErrCorrupt) {
			return err
		}
		h.counters.damaged.Add(1)
	}
	return err
}
