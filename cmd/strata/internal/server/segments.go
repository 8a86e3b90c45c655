package server

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy/adminapi"
	"github.com/stratamq/stratamq/storelayer/shard"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// segments lists the segments of the one shard: those of the manifest, and those that are local. Entries
// never change, so each is read once.
type segments struct {
	cluster string
	shard   *shard.Shard
	store   tiering.ObjectStore
	meta    *meta.Client

	mu struct {
		sync.Mutex
		entries []manifest.Entry // by sequence, from 1
	}
}

// List implements [adminapi.Segments].
func (s *segments) List(ctx context.Context, id message.ShardID) ([]adminapi.Segment, error) {
	if id != s.shard.ID() {
		return nil, nil
	}
	// Local first: what is trimmed between the two looks is then shown as it was, and nothing is left out.
	local := s.shard.Segments()
	entries, err := s.entries(ctx)
	if err != nil {
		return nil, err
	}
	var out []adminapi.Segment
	sealedUpTo := message.Position(0)
	for _, e := range entries {
		if !e.Seals() {
			continue
		}
		seg := adminapi.Segment{Base: e.Base, End: e.End, State: adminapi.SegmentTrimmed, Sequence: e.Sequence}
		if len(local) > 0 && e.Base >= local[0].Base {
			seg.State = adminapi.SegmentSealed
		}
		for _, o := range e.Objects {
			seg.Bytes += int64(o.RawBytes)
			seg.Records += int64(o.Records)
			seg.Objects = append(seg.Objects, adminapi.SegmentObject{
				Key: e.ObjectKey(o), Class: o.Class.String(), Bytes: o.Size, Records: int64(o.Records),
			})
			first, last := time.UnixMilli(o.MinTime), time.UnixMilli(o.MaxTime)
			if seg.First.IsZero() || first.Before(seg.First) {
				seg.First = first
			}
			if last.After(seg.Last) {
				seg.Last = last
			}
		}
		sealedUpTo = e.End
		out = append(out, seg)
	}
	for _, l := range local {
		if l.Base >= sealedUpTo {
			out = append(out, adminapi.Segment{Base: l.Base, End: l.End, State: adminapi.SegmentLocal})
		}
	}
	return out, nil
}

// entries returns the entries up to the manifest's head. The head's may not be in the bucket yet, but
// it is in the head.
func (s *segments) entries(ctx context.Context) ([]manifest.Entry, error) {
	value, err := s.meta.Get(ctx, meta.BucketManifests, meta.ShardKey(s.shard.ID()))
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	head, err := meta.DecodeManifestHead(value.Data)
	if err != nil || head.Sequence == 0 {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for next := uint64(len(s.mu.entries)) + 1; next <= head.Sequence; next++ {
		var e manifest.Entry
		if next == head.Sequence {
			e, err = manifest.DecodeEntry(head.Entry)
		} else {
			e, _, err = manifest.ReadEntry(ctx, s.store, s.cluster, s.shard.ID(), next)
		}
		if err != nil {
			return nil, err
		}
		s.mu.entries = append(s.mu.entries, e)
	}
	return slices.Clip(s.mu.entries), nil
}
