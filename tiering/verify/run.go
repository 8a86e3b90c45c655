package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Run checks everything that the manifests of a cluster name. It fails only if the bucket cannot be listed or ctx ends;
// what is wrong in the bucket stands in the report.
func Run(ctx context.Context, store tiering.ObjectStore, cluster string) (Report, error) {
	report := Report{Cluster: cluster}
	shards, err := Shards(ctx, store, cluster)
	if err != nil {
		return report, err
	}
	for _, shard := range shards {
		c := &check{store: store, cluster: cluster, report: ShardReport{Shard: shard}}
		err := c.run(ctx)
		report.Shards = append(report.Shards, c.report)
		if err != nil {
			return report, fmt.Errorf("shard %s: %w", shard, err)
		}
	}
	return report, nil
}

// check is the check of one shard.
type check struct {
	store   tiering.ObjectStore
	cluster string
	report  ShardReport

	next    map[message.Queue]message.Offset // behind the last message seen
	first   map[message.Queue]message.Offset // by retention
	named   map[string]struct{}              // keys that entries name
	deleted map[string]struct{}              // of those, the ones that retention has marked
}

func (c *check) problem(key string, err error) {
	c.report.Problems = append(c.report.Problems, Problem{Key: key, Err: err})
}

func (c *check) run(ctx context.Context) error {
	c.next, c.first = map[message.Queue]message.Offset{}, map[message.Queue]message.Offset{}
	c.named, c.deleted = map[string]struct{}{}, map[string]struct{}{}
	var entries []Stored
	for e, err := range Entries(ctx, c.store, c.cluster, c.report.Shard) {
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.problem(manifest.EntryKey(c.cluster, c.report.Shard, uint64(len(entries))+1), err)
			break
		}
		entries = append(entries, e)
		for _, f := range e.FirstOffsets {
			c.first[f.Queue] = max(c.first[f.Queue], f.Offset)
		}
		for _, key := range e.Deletions {
			c.deleted[key] = struct{}{}
		}
	}
	for i := range entries {
		e := &entries[i].Entry
		c.report.Entries, c.report.End = e.Sequence, e.End
		c.snapshot(ctx, e)
		c.objects(ctx, e)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	c.report.Queues = len(c.next)
	return c.orphans(ctx)
}

func (c *check) snapshot(ctx context.Context, e *manifest.Entry) {
	if e.Snapshot.Size == 0 {
		return
	}
	key := e.SnapshotKey()
	c.named[key] = struct{}{}
	if _, gone := c.deleted[key]; gone {
		c.report.Deleted++
		return
	}
	c.report.Snapshots++
	if c.whole(ctx, key, e.Snapshot.Size, e.Snapshot.CRC32C) {
		c.report.Bytes += e.Snapshot.Size
	}
}

// whole checks size and checksum of an object.
func (c *check) whole(ctx context.Context, key string, size int64, crc uint32) bool {
	err := tiering.Verify(ctx, c.store, tiering.Capabilities{}, key, size, crc)
	if errors.Is(err, tiering.ErrNotFound) {
		err = fmt.Errorf("%w: %w", tiering.ErrMissingObject, err)
	}
	if err != nil {
		c.problem(key, err)
	}
	return err == nil
}

func (c *check) objects(ctx context.Context, e *manifest.Entry) {
	for _, o := range e.Objects {
		key := e.ObjectKey(o)
		c.named[key] = struct{}{}
		if _, gone := c.deleted[key]; gone {
			c.report.Deleted++
			continue
		}
		c.report.Objects++
		if !c.whole(ctx, key, o.Size, o.CRC32C) {
			continue
		}
		c.report.Bytes += o.Size
		r, err := manifest.OpenObject(ctx, c.store, e, o)
		if err == nil {
			err = r.Verify(ctx)
		}
		if err == nil {
			err = c.messages(ctx, r)
		}
		if err != nil {
			c.problem(key, err)
			continue
		}
		c.report.Records += o.Records
		c.report.RawBytes += r.Trailer().RawBytes
	}
}

// messages checks that each message says of itself what its place says, and that the offsets of each queue go on where
// they ended, but for what retention has removed.
func (c *check) messages(ctx context.Context, r *segment.Reader) error {
	for q := range r.Directory().Queues() {
		next, known := c.next[q.Queue]
		if first := c.first[q.Queue]; q.First > next && q.First > first || known && q.First < next {
			return fmt.Errorf("%w: queue %s goes on at offset %d, expected %d", message.ErrCorrupt, q.Queue, q.First, max(next, first))
		}
		c.next[q.Queue] = q.Next()
		for _, b := range r.Directory().BlocksOf(q) {
			h, records, err := r.Block(ctx, b)
			if err != nil {
				return err
			}
			for stored, err := range h.Records(records) {
				if err != nil {
					return fmt.Errorf("block %d: %w", b.Number, err)
				}
				if err := checkMessage(q.Queue, stored); err != nil {
					return fmt.Errorf("block %d: %w", b.Number, err)
				}
			}
		}
	}
	return nil
}

func checkMessage(q message.Queue, stored segment.StoredRecord) error {
	record, _, err := message.DecodeRecord(stored.Record)
	if err != nil {
		return err
	}
	if record.Type != message.RecordMessage {
		return nil // what pending objects have
	}
	m, err := message.DecodeStored(record.Body)
	if err != nil {
		return fmt.Errorf("offset %d of queue %s: %w", stored.Offset, q, err)
	}
	if record.Topic != q.Topic || m.Queue.ID != q.ID || m.Offset != stored.Offset || m.BodyCRC != message.BodyCRC(m.Body) {
		return fmt.Errorf("%w: offset %d of queue %s has a message of topic %s, queue %d, offset %d, body CRC %08x",
			message.ErrCorrupt, stored.Offset, q, record.Topic, m.Queue.ID, m.Offset, m.BodyCRC)
	}
	return nil
}

// orphans finds objects of the shard that no entry names: of seals that did not end, or are under way.
func (c *check) orphans(ctx context.Context) error {
	for info, err := range c.store.List(ctx, segment.ShardPrefix(c.cluster, c.report.Shard), "") {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		if _, ok := c.named[info.Key]; !ok {
			c.report.Orphans = append(c.report.Orphans, info.Key)
		}
	}
	return nil
}
