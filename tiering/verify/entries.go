package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// Stored is a manifest entry as it lies in the bucket.
type Stored struct {
	manifest.Entry

	Hash meta.EntryHash
}

// Shards returns the shards of a cluster that have manifest entries, in order. It steps from one to the next by lists
// that each end after their first key.
func Shards(ctx context.Context, store tiering.ObjectStore, cluster string) ([]message.ShardID, error) {
	prefix := cluster + "/manifest/"
	var shards []message.ShardID
	for after := ""; ; {
		key, err := firstKey(ctx, store, prefix, after)
		if err != nil {
			return nil, fmt.Errorf("list manifests of cluster %s: %w", cluster, err)
		}
		if key == "" {
			return shards, nil
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		id, err := strconv.ParseUint(name, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is no manifest entry", message.ErrCorrupt, key)
		}
		shard := message.ShardID(id)
		shards = append(shards, shard)
		after = manifest.EntryKey(cluster, shard, 1<<64-1)
	}
}

func firstKey(ctx context.Context, store tiering.ObjectStore, prefix, after string) (string, error) {
	for info, err := range store.List(ctx, prefix, after) {
		return info.Key, err
	}
	return "", nil
}

// Entries yields the manifest entries of a shard, oldest first, and checks that each follows the one before: sequence,
// hash, epoch and log range. The first error ends the sequence. What the head alone has is not among them.
func Entries(ctx context.Context, store tiering.ObjectStore, cluster string, shard message.ShardID) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		var last Stored
		for sequence := uint64(1); ; sequence++ {
			e, raw, err := manifest.ReadEntry(ctx, store, cluster, shard, sequence)
			if errors.Is(err, tiering.ErrNotFound) {
				if err := endOfChain(ctx, store, cluster, shard, sequence); err != nil {
					yield(Stored{}, err)
				}
				return
			}
			if err == nil {
				err = follows(&last, &e)
			}
			if err != nil {
				yield(Stored{}, fmt.Errorf("entry %d of shard %s: %w", sequence, shard, err))
				return
			}
			last = Stored{Entry: e, Hash: meta.HashEntry(raw)}
			if !yield(last, nil) {
				return
			}
		}
	}
}

// endOfChain checks that nothing follows an entry that is not there.
func endOfChain(ctx context.Context, store tiering.ObjectStore, cluster string, shard message.ShardID, sequence uint64) error {
	key, err := firstKey(ctx, store, manifest.EntryPrefix(cluster, shard), manifest.EntryKey(cluster, shard, sequence))
	if err != nil {
		return fmt.Errorf("list manifest of shard %s: %w", shard, err)
	}
	if key != "" {
		return fmt.Errorf("%w: entry %d of shard %s, while there is %s", tiering.ErrMissingObject, sequence, shard, key)
	}
	return nil
}

// follows checks an entry against the one before it, which is zero before the first.
func follows(last *Stored, e *manifest.Entry) error {
	switch {
	case last.Sequence == 0:
		return nil // that a first entry has no hash before it was checked when it was decoded
	case e.Previous != last.Hash:
		return fmt.Errorf("%w: it follows an entry with hash %s, entry %d has %s", message.ErrCorrupt, e.Previous, last.Sequence, last.Hash)
	case e.Base != last.End:
		return fmt.Errorf("%w: it goes on at %s, entry %d ends at %s", message.ErrCorrupt, e.Base, last.Sequence, last.End)
	case e.Epoch < last.Epoch:
		return fmt.Errorf("%w: epoch %s after %s", message.ErrCorrupt, e.Epoch, last.Epoch)
	}
	return nil
}

// Print writes an entry for people, a line for each thing in it.
func Print(w io.Writer, e *manifest.Entry) error {
	p := &printer{w: w}
	p.printf("entry %d of shard %s   log [%d, %d), epoch %d, committed %s\n", e.Sequence, e.Shard, uint64(e.Base), uint64(e.End), e.Epoch, timeText(e.Created))
	if e.Snapshot.Size > 0 {
		p.printf("  snapshot  %d bytes, replay from %d  %s\n", e.Snapshot.Size, uint64(e.Snapshot.ReplayStart), e.SnapshotKey())
	}
	for _, o := range e.Objects {
		p.printf("  object    %d bytes, %d records of %d bytes, stored %s to %s  %s\n", o.Size, o.Records, o.RawBytes, timeText(o.MinTime), timeText(o.MaxTime), e.ObjectKey(o))
	}
	for _, key := range e.Deletions {
		p.printf("  deletes   %s\n", key)
	}
	for _, f := range e.FirstOffsets {
		p.printf("  queue     %s begins at offset %d\n", f.Queue, f.Offset)
	}
	return p.err
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// printer remembers the first error of its writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
