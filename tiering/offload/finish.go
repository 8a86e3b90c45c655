package offload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// finish does steps 3 and 4 for the head's entry. Everything in it may have been done before.
func (o *Offloader) finish(ctx context.Context) (Step, error) {
	if o.finished || o.entry.Sequence == 0 {
		return "", nil
	}
	fpBeforeEntry.Hit()
	if err := tiering.PutOnce(ctx, o.Store, o.Caps, o.entry.Key(), o.head.Entry); err != nil {
		return StepEntry, fmt.Errorf("put manifest entry: %w", err)
	}
	fpAfterEntry.Hit()
	o.recorded(StepEntry)
	if err := o.writeValues(ctx); err != nil {
		return StepDerive, err
	}
	o.recorded(StepDerive)
	if o.entry.Seals() {
		o.sealed[o.entry.Base] = time.UnixMilli(o.entry.Created)
	}
	if err := o.Source.Sealed(ctx, Seal{Sequence: o.entry.Sequence, Base: o.entry.Base, End: o.entry.End}); err != nil {
		return StepDerive, fmt.Errorf("tell the shard: %w", err)
	}
	fpAfterSealed.Hit()
	o.finished = true
	return "", nil
}

// writeValues derives the consumeQueue and index values of the head's entry from its objects and writes them.
func (o *Offloader) writeValues(ctx context.Context) error {
	if len(o.entry.Objects) == 0 {
		return nil
	}
	derived, err := manifest.Derive(ctx, o.Store, &o.entry, nil)
	if err != nil {
		return fmt.Errorf("derive values: %w", err)
	}
	queues, index, err := derived.Values(&o.entry)
	if err != nil {
		return fmt.Errorf("derive values: %w", err)
	}
	fpBeforeQueues.Hit()
	for part, data := range queues {
		if err := o.writeOnce(ctx, meta.BucketConsumeQueue, meta.ConsumeQueueKey(o.entry.Shard, o.entry.Base, part), data); err != nil {
			return err
		}
	}
	fpBeforeIndex.Hit()
	for part, data := range index {
		if err := o.writeOnce(ctx, meta.BucketIndex, meta.IndexKey(o.entry.Shard, o.entry.Base, part), data); err != nil {
			return err
		}
	}
	fpAfterIndex.Hit()
	return nil
}

// writeOnce writes a value that follows from immutable objects. One that is there already is left alone if it says the
// same, and replaced if it does not: then it is older than the code, or of an attempt whose objects were not committed.
func (o *Offloader) writeOnce(ctx context.Context, bucket meta.Bucket, key string, data []byte) error {
	o.written += int64(len(data))
	_, err := o.Meta.Create(ctx, bucket, key, data)
	if err == nil || !errors.Is(err, meta.ErrConflict) && !errors.Is(err, meta.ErrUnknown) {
		return wrapWrite(bucket, key, err)
	}
	v, readErr := o.Meta.Get(ctx, bucket, key)
	switch {
	case errors.Is(readErr, meta.ErrDamaged):
		// It cannot be replaced, and need not be: readers derive what they cannot read.
		o.Logger.Error("a derived value is damaged in the metadata store", "bucket", bucket, "key", key, "err", readErr)
		return nil
	case readErr != nil:
		return wrapWrite(bucket, key, errors.Join(err, readErr))
	case bytes.Equal(v.Data, data):
		return nil
	}
	_, err = o.Meta.CompareAndSet(ctx, bucket, key, data, v.Revision)
	return wrapWrite(bucket, key, err)
}

func wrapWrite(bucket meta.Bucket, key string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s/%s: %w", bucket, key, err)
	}
	return nil
}

func (o *Offloader) recorded(step Step) {
	if o.Events.Recorded != nil {
		o.Events.Recorded(step)
	}
}
