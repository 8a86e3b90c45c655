package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/segment"
)

// What a decoded item takes in memory, in bytes.
const (
	runCost   = 96
	fenceCost = 16
	blockCost = 72
	queueCost = 64
	itemCost  = 128 // of whatever holds them
)

// runsOf returns the runs of a segment.
func (h *History) runsOf(ctx context.Context, c *chain, s *sealed) ([]manifest.Run, error) {
	if len(s.Objects) == 0 {
		return nil, nil
	}
	if runs, ok := h.runs.get(s.id()); ok {
		return runs, nil
	}
	return share(ctx, h, flightKey("runs", s.Shard, s.Sequence, 0), func(ctx context.Context) ([]manifest.Run, error) {
		runs, err := h.storedRuns(ctx, s)
		if err != nil {
			d, err := h.derive(ctx, c, s, "consumequeue", err)
			return d.Runs, err
		}
		h.keepRuns(s, runs)
		return runs, nil
	})
}

// storedRuns reads all parts of the consumeQueue value from the metadata store.
func (h *History) storedRuns(ctx context.Context, s *sealed) ([]manifest.Run, error) {
	var runs []manifest.Run
	for part, parts := 0, 1; part < parts; part++ {
		v, err := h.opts.Meta.Get(ctx, meta.BucketConsumeQueue, meta.ConsumeQueueKey(s.Shard, s.Base, part))
		if err != nil {
			return nil, err
		}
		value, err := manifest.DecodeQueueValue(v.Data)
		if err != nil {
			return nil, err
		}
		if err := checkHeader(value.ValueHeader, s, part, parts); err != nil {
			return nil, err
		}
		parts = value.Parts
		runs = append(runs, value.Runs...)
	}
	return runs, nil
}

// checkHeader checks that a value is that of a segment: one of an earlier attempt to seal it, or of another
// incarnation of the metadata store, describes other objects.
func checkHeader(got manifest.ValueHeader, s *sealed, part, parts int) error {
	if got.Shard != s.Shard || got.Base != s.Base || got.Sequence != s.Sequence || got.Part != part || part > 0 && got.Parts != parts {
		return fmt.Errorf("%w: value of shard %s, %s, entry %d, part %d of %d", message.ErrCorrupt, got.Shard, got.Base, got.Sequence, got.Part, got.Parts)
	}
	return nil
}

// derive reads from the bucket what the metadata store does not give, and keeps both values.
func (h *History) derive(ctx context.Context, c *chain, s *sealed, what string, cause error) (manifest.Derived, error) {
	h.counters.derived.Add(1)
	h.opts.Logger.Warn("a derived value is read from the bucket instead of the metadata store", "shard", s.Shard, "sequence", s.Sequence, "value", what, "err", cause)
	var d manifest.Derived
	err := h.undamaged(func() (err error) {
		d, err = manifest.Derive(ctx, h.store, &s.Entry, c.gone)
		return err
	})
	if err != nil {
		return manifest.Derived{}, missing(err)
	}
	h.keepRuns(s, d.Runs)
	h.keepIndex(s, d.Indexes)
	return d, nil
}

func (h *History) keepRuns(s *sealed, runs []manifest.Run) {
	h.runs.put(s.id(), runs, itemCost+int64(len(runs))*runCost)
}

func (h *History) keepIndex(s *sealed, index []manifest.ObjectIndex) {
	cost := int64(itemCost)
	for _, o := range index {
		cost += itemCost + int64(len(o.Fences))*fenceCost
	}
	h.indexes.put(s.id(), index, cost)
}

// indexOf returns the fences of a segment's objects.
func (h *History) indexOf(ctx context.Context, c *chain, s *sealed) ([]manifest.ObjectIndex, error) {
	if len(s.Objects) == 0 {
		return nil, nil
	}
	if index, ok := h.indexes.get(s.id()); ok {
		return index, nil
	}
	return share(ctx, h, flightKey("index", s.Shard, s.Sequence, 0), func(ctx context.Context) ([]manifest.ObjectIndex, error) {
		index, err := h.storedIndex(ctx, s)
		if err != nil {
			d, err := h.derive(ctx, c, s, "index", err)
			return d.Indexes, err
		}
		h.keepIndex(s, index)
		return index, nil
	})
}

func (h *History) storedIndex(ctx context.Context, s *sealed) ([]manifest.ObjectIndex, error) {
	var index []manifest.ObjectIndex
	for part, parts := 0, 1; part < parts; part++ {
		v, err := h.opts.Meta.Get(ctx, meta.BucketIndex, meta.IndexKey(s.Shard, s.Base, part))
		if err != nil {
			return nil, err
		}
		value, err := manifest.DecodeIndexValue(v.Data)
		if err != nil {
			return nil, err
		}
		if err := checkHeader(value.ValueHeader, s, part, parts); err != nil {
			return nil, err
		}
		parts = value.Parts
		for _, o := range value.Objects {
			if o.Object >= len(s.Objects) {
				return nil, fmt.Errorf("%w: index of object %d of %d", message.ErrCorrupt, o.Object, len(s.Objects))
			}
			if n := len(index); n > 0 && index[n-1].Object == o.Object {
				index[n-1].Fences = append(index[n-1].Fences, o.Fences...)
				continue
			}
			index = append(index, o)
		}
	}
	return index, nil
}

// directory returns an object's directory: one request unless it is cached.
func (h *History) directory(ctx context.Context, s *sealed, number int) (*segment.Reader, error) {
	id := objectID{s.id(), number}
	if r, ok := h.directories.get(id); ok {
		return r, nil
	}
	return share(ctx, h, flightKey("directory", s.Shard, s.Sequence, number), func(ctx context.Context) (*segment.Reader, error) {
		var r *segment.Reader
		err := h.undamaged(func() (err error) {
			r, err = manifest.OpenObject(ctx, h.store, &s.Entry, s.Objects[number])
			return err
		})
		if err != nil {
			return nil, missing(err)
		}
		dir := r.Directory()
		h.directories.put(id, r, itemCost+int64(dir.NumBlocks())*blockCost+int64(dir.NumQueues())*queueCost)
		return r, nil
	})
}

// missing marks the error of an object that the manifest names and the bucket does not have.
func missing(err error) error {
	if errors.Is(err, tiering.ErrNotFound) {
		return fmt.Errorf("%w: %w", tiering.ErrMissingObject, err)
	}
	return err
}

// flightKey names what is fetched once for all who need it.
func flightKey(what string, shard message.ShardID, sequence uint64, number int) string {
	return fmt.Sprintf("%s/%d/%d/%d", what, shard, sequence, number)
}
