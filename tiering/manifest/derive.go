package manifest

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Derived is what the metadata store keeps of a sealed segment.
type Derived struct {
	Runs    []Run // sorted by topic id and queue
	Indexes []ObjectIndex
}

// Derive reads the directories and fences of an entry's objects: the one way in which values come into being, at a seal
// and when they are rebuilt. Skip, if not nil, names objects that retention has deleted: it gets their keys. It fails as
// the store does, and with [message.ErrCorrupt].
func Derive(ctx context.Context, store tiering.ObjectStore, e *Entry, skip func(key string) bool) (Derived, error) {
	var d Derived
	for i, o := range e.Objects {
		if skip != nil && skip(e.ObjectKey(o)) {
			continue
		}
		r, err := OpenObject(ctx, store, e, o)
		if err != nil {
			return Derived{}, err
		}
		d.Runs = append(d.Runs, runsOf(r.Directory(), i)...)
		fences, err := r.Fences(ctx)
		if err != nil {
			return Derived{}, fmt.Errorf("object %s: %w", e.ObjectKey(o), err)
		}
		if t := r.Trailer(); len(fences) > 0 {
			d.Indexes = append(d.Indexes, ObjectIndex{
				Object: i, Postings: t.Sections[segment.SectionPostings].Position, MinTime: t.MinTime, MaxTime: t.MaxTime, Fences: fences,
			})
		}
	}
	sortRuns(d.Runs)
	if err := checkRuns(d.Runs); err != nil {
		return Derived{}, fmt.Errorf("%w: objects of entry %d: %w", message.ErrCorrupt, e.Sequence, err)
	}
	return d, nil
}

func runsOf(dir *segment.Directory, object int) []Run {
	runs := make([]Run, 0, dir.NumQueues())
	for q := range dir.Queues() {
		blocks := dir.BlocksOf(q)
		first, last := blocks[0], blocks[len(blocks)-1]
		runs = append(runs, Run{
			Queue: q.Queue, First: q.First, Count: q.Count, MinTime: first.MinTime, MaxTime: last.MaxTime,
			Bytes: last.Position + int64(last.Length) - first.Position, Object: object, Block: q.FirstBlock,
		})
	}
	return runs
}

// Values encodes what was derived: the data of the consumeQueue and index values of the entry's segment, by part.
func (d Derived) Values(e *Entry) (queues, index [][]byte, err error) {
	h := ValueHeader{Shard: e.Shard, Sequence: e.Sequence, Base: e.Base}
	if queues, err = EncodeRuns(h, d.Runs); err != nil {
		return nil, nil, err
	}
	if index, err = EncodeIndex(h, d.Indexes); err != nil {
		return nil, nil, err
	}
	return queues, index, nil
}

// OpenObject opens an object of the entry in one request, and checks that it is the one that the entry describes.
func OpenObject(ctx context.Context, store tiering.ObjectStore, e *Entry, o Object) (*segment.Reader, error) {
	key := e.ObjectKey(o)
	src, err := readTail(ctx, segment.Object(store, key), o)
	if err != nil {
		return nil, fmt.Errorf("read directory of %s: %w", key, err)
	}
	r, err := segment.Open(ctx, src, o.Size)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", key, err)
	}
	src.tail = nil // nobody shares the reader yet
	t := r.Trailer()
	if t.Shard != e.Shard || t.LogStart != e.Base || t.LogEnd != e.End || t.Class != o.Class || t.Epoch != e.Epoch ||
		t.Records != o.Records || t.Sections[segment.SectionDirectory].Position != o.Directory {
		return nil, fmt.Errorf("object %s: %w: it is of shard %s, [%d, %d), %v, not what the manifest says", key, message.ErrCorrupt,
			t.Shard, uint64(t.LogStart), uint64(t.LogEnd), t.Class)
	}
	return r, nil
}

// openTail is what [segment.Open] reads first, in bytes.
const openTail = 64 << 10

// tailSource has read the end of an object already: trailer and directory, whatever their size.
type tailSource struct {
	segment.Source

	tail []byte
	off  int64 // of tail in the object
}

func readTail(ctx context.Context, src segment.Source, o Object) (*tailSource, error) {
	off := max(0, min(o.Directory, o.Size-openTail))
	tail := make([]byte, o.Size-off)
	return &tailSource{Source: src, tail: tail, off: off}, src.GetRange(ctx, tail, off)
}

// GetRange implements [segment.Source].
func (s *tailSource) GetRange(ctx context.Context, dst []byte, off int64) error {
	if off >= s.off && off+int64(len(dst)) <= s.off+int64(len(s.tail)) {
		copy(dst, s.tail[off-s.off:])
		return nil
	}
	return s.Source.GetRange(ctx, dst, off)
}

// maxEntryLen bounds an entry in bytes: it has to fit into the head.
const maxEntryLen = meta.MaxDataLen

// ReadEntry reads an entry from the bucket, and returns its bytes as well. It fails with tiering.ErrNotFound if there
// is none.
func ReadEntry(ctx context.Context, store tiering.ObjectStore, cluster string, shard message.ShardID, sequence uint64) (Entry, []byte, error) {
	key := EntryKey(cluster, shard, sequence)
	info, err := store.Head(ctx, key)
	if err != nil {
		return Entry{}, nil, err
	}
	if info.Size > maxEntryLen {
		return Entry{}, nil, fmt.Errorf("%w: manifest entry %s of %d bytes", message.ErrCorrupt, key, info.Size)
	}
	raw := make([]byte, info.Size)
	if err := store.GetRange(ctx, key, raw, 0); err != nil {
		return Entry{}, nil, err
	}
	e, err := DecodeEntry(raw)
	if err != nil {
		return Entry{}, nil, fmt.Errorf("%s: %w", key, err)
	}
	if e.Cluster != cluster || e.Shard != shard || e.Sequence != sequence {
		return Entry{}, nil, fmt.Errorf("%s: %w: it is entry %d of shard %s of %q", key, message.ErrCorrupt, e.Sequence, e.Shard, e.Cluster)
	}
	return e, raw, nil
}
