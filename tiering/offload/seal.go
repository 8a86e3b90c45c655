package offload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/multipart"
	"github.com/stratamq/stratamq/tiering/segment"
)

// abortTimeout bounds what is done to free the parts of an upload that failed, also while the process stops.
const abortTimeout = 2 * time.Second

// attempt is what has been done for a segment before its seal is committed. What is verified is not written again when
// a later part of the seal fails.
type attempt struct {
	segment  Segment
	began    time.Duration // by the boot clock
	index    *sorted
	groups   []group // one per object, by class
	objects  []manifest.Object
	snapshot manifest.Snapshot
	puts     int
}

// group is what goes into one object.
type group struct {
	class  segment.Class
	queues []*queueItems
}

// seal takes one segment through the steps up to the fourth.
func (o *Offloader) seal(ctx context.Context, s Segment) (Step, error) {
	if o.attempt == nil || o.attempt.segment.Base != s.Base || o.attempt.segment.End != s.End {
		o.attempt = &attempt{segment: s, began: o.Clock.Boot()}
	}
	a := o.attempt
	if err := o.writeAll(ctx, a); err != nil {
		return StepObjects, err
	}
	o.recorded(StepObjects)
	if bugTrimBeforeHead {
		if err := o.Source.Trim(ctx, s.Base); err != nil {
			return StepTrim, err
		}
	}
	if err := o.provesNext(ctx); err != nil {
		return StepHead, err
	}
	entry := manifest.Entry{
		Cluster: o.Cluster, Shard: o.Source.Shard(), Epoch: o.Source.Epoch(), Created: o.Clock.Now().UnixMilli(),
		Base: s.Base, End: s.End, Snapshot: a.snapshot, Objects: a.objects,
	}
	o.written = 0
	if err := o.commit(ctx, entry); err != nil {
		return StepHead, err
	}
	o.attempt = nil
	o.recorded(StepHead)
	if step, err := o.finish(ctx); err != nil {
		return step, err
	}
	o.report(a)
	return "", nil
}

// provesNext checks that the bucket has no entry yet where the next one goes: else the head is older than the chain.
func (o *Offloader) provesNext(ctx context.Context) error {
	key := manifest.EntryKey(o.Cluster, o.Source.Shard(), o.head.Sequence+1)
	_, err := o.Store.Head(ctx, key)
	switch {
	case errors.Is(err, tiering.ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look for a later seal: %w", err)
	}
	return fmt.Errorf("%w: the bucket has %s", ErrManifestLost, key)
}

// writeAll writes and verifies what is still missing of the segment's objects.
func (o *Offloader) writeAll(ctx context.Context, a *attempt) error {
	release, err := o.Budget.acquire(ctx, o.Config.memory())
	if err != nil {
		return err
	}
	defer release()
	if a.index == nil {
		if a.index, err = collect(ctx, o.Source, a.segment.Base); err != nil {
			return err
		}
		a.groups = o.classify(a.index)
	}
	for len(a.objects) < len(a.groups) {
		object, puts, err := o.writeObject(ctx, a.segment, a.groups[len(a.objects)])
		if err != nil {
			return err
		}
		a.objects = append(a.objects, object)
		a.puts += puts
	}
	if a.snapshot.Size == 0 {
		if a.snapshot, err = o.writeSnapshot(ctx, a.segment); err != nil {
			return err
		}
		a.puts++
	}
	return nil
}

// classify divides the queues among objects, one per class.
func (o *Offloader) classify(index *sorted) []group {
	var groups []group
	classes := make(map[message.TopicID]segment.Class)
	for _, q := range index.queues {
		class, ok := classes[q.queue.Topic]
		if !ok {
			class = o.Class(q.queue.Topic)
			classes[q.queue.Topic] = class
		}
		i, found := slices.BinarySearchFunc(groups, class, func(g group, c segment.Class) int { return int(g.class) - int(c) })
		if !found {
			groups = slices.Insert(groups, i, group{class: class})
		}
		groups[i].queues = append(groups[i].queues, q)
	}
	return groups
}

// writeObject writes one object and verifies it.
func (o *Offloader) writeObject(ctx context.Context, s Segment, g group) (manifest.Object, int, error) {
	uuid := o.uuid()
	key := segment.Key{
		Cluster: o.Cluster, Shard: o.Source.Shard(), Base: s.Base, Class: g.class, Epoch: o.Source.Epoch(), UUID: uuid.String(),
	}.String()
	fpBeforeObject.Hit()
	sealed, written, err := o.upload(ctx, key, s, g)
	if err != nil {
		return manifest.Object{}, 0, fmt.Errorf("write %s: %w", key, err)
	}
	fpAfterObject.Hit()
	if err := tiering.Verify(ctx, o.Store, o.Caps, key, written.Size, written.CRC32C); err != nil {
		return manifest.Object{}, 0, fmt.Errorf("verify %s: %w", key, err)
	}
	fpAfterVerify.Hit()
	t := sealed.Trailer
	return manifest.Object{
		UUID: uuid, Class: g.class, Size: written.Size, CRC32C: written.CRC32C,
		Directory: t.Sections[segment.SectionDirectory].Position, Records: t.Records, MinTime: t.MinTime, MaxTime: t.MaxTime, RawBytes: t.RawBytes,
	}, written.Puts, nil
}

func (o *Offloader) upload(ctx context.Context, key string, s Segment, g group) (segment.Sealed, multipart.Written, error) {
	dst, err := multipart.New(ctx, o.Store, key, o.Config.Upload)
	if err != nil {
		return segment.Sealed{}, multipart.Written{}, err
	}
	sealed, err := o.writeRecords(ctx, dst, s, g)
	if err != nil {
		return segment.Sealed{}, multipart.Written{}, errors.Join(err, abort(ctx, dst))
	}
	written, err := dst.Complete(ctx, tiering.PutOptions{IfAbsent: o.Caps.ConditionalPut && o.Caps.ConditionalComplete})
	if err != nil {
		return segment.Sealed{}, multipart.Written{}, errors.Join(err, abort(ctx, dst))
	}
	return sealed, written, nil
}

// abort frees what was uploaded, also if the upload failed because the process stops.
func abort(ctx context.Context, dst *multipart.Writer) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	return dst.Abort(ctx)
}

func (o *Offloader) writeRecords(ctx context.Context, dst *multipart.Writer, s Segment, g group) (segment.Sealed, error) {
	w, err := segment.NewWriter(dst, segment.WriterConfig{
		Shard: o.Source.Shard(), Epoch: o.Source.Epoch(), LogStart: s.Base, LogEnd: s.End,
		Class: g.class, Codec: o.Config.Codec, BlockSize: o.Config.BlockSize,
	})
	if err != nil {
		return segment.Sealed{}, err
	}
	gather := &gatherer{src: o.Source}
	err = gather.each(ctx, g.queues, o.Config.GatherBytes, func(q *queueItems, i int, record []byte) error {
		it := &q.items[i]
		return w.Lend(q.queue, q.first+message.Offset(i), it.time, it.entry, q.keysOf(i), record)
	}, w.Keep)
	if err != nil {
		return segment.Sealed{}, err
	}
	return w.Close()
}

// writeSnapshot writes the shard's derived state beside the objects.
func (o *Offloader) writeSnapshot(ctx context.Context, s Segment) (manifest.Snapshot, error) {
	snapshot, err := o.Source.Snapshot(ctx, s.End)
	if err != nil {
		return manifest.Snapshot{}, fmt.Errorf("take a snapshot: %w", err)
	}
	if snapshot.ReplayStart < s.End || len(snapshot.Bytes) == 0 {
		return manifest.Snapshot{}, fmt.Errorf("a snapshot of %d bytes from %s on does not cover the segment up to %s", len(snapshot.Bytes), snapshot.ReplayStart, s.End)
	}
	e := manifest.Entry{Cluster: o.Cluster, Shard: o.Source.Shard(), Epoch: o.Source.Epoch(), Base: s.Base}
	e.Snapshot = manifest.Snapshot{
		UUID: o.uuid(), Size: int64(len(snapshot.Bytes)), CRC32C: tiering.Checksum(snapshot.Bytes), ReplayStart: snapshot.ReplayStart,
	}
	fpBeforeSnapshot.Hit()
	dst, err := multipart.New(ctx, o.Store, e.SnapshotKey(), o.Config.Upload)
	if err != nil {
		return manifest.Snapshot{}, err
	}
	if _, err = dst.Write(snapshot.Bytes); err == nil {
		_, err = dst.Complete(ctx, tiering.PutOptions{})
	}
	if err != nil {
		return manifest.Snapshot{}, fmt.Errorf("write %s: %w", e.SnapshotKey(), errors.Join(err, abort(ctx, dst)))
	}
	if err := tiering.Verify(ctx, o.Store, o.Caps, e.SnapshotKey(), e.Snapshot.Size, e.Snapshot.CRC32C); err != nil {
		return manifest.Snapshot{}, fmt.Errorf("verify %s: %w", e.SnapshotKey(), err)
	}
	fpAfterSnapshot.Hit()
	return e.Snapshot, nil
}

// uuid makes a name that no object ever had.
func (o *Offloader) uuid() manifest.UUID {
	var u manifest.UUID
	binary.LittleEndian.PutUint64(u[:], o.Rand.Uint64())
	binary.LittleEndian.PutUint64(u[8:], o.Rand.Uint64())
	return u
}

func (o *Offloader) report(a *attempt) {
	sum := Sealed{
		Seal:    Seal{Sequence: o.entry.Sequence, Base: o.entry.Base, End: o.entry.End},
		Objects: len(a.objects), Records: a.index.records, RawBytes: a.index.bytes, StoredBytes: a.snapshot.Size,
		MetaBytes: o.written, Puts: a.puts, Took: o.Clock.Boot() - a.began,
	}
	for _, object := range a.objects {
		sum.StoredBytes += object.Size
	}
	o.Logger.Info("segment sealed", "sequence", sum.Sequence, "base", sum.Base, "end", sum.End, "records", sum.Records,
		"raw_bytes", sum.RawBytes, "stored_bytes", sum.StoredBytes, "meta_bytes", sum.MetaBytes, "took", sum.Took)
	if o.Events.Sealed != nil {
		o.Events.Sealed(sum)
	}
}
