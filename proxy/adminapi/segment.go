package adminapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
)

// Segments knows the segments of the shards, wherever they are.
type Segments interface {
	// List returns the segments of a shard in the order of their bases.
	List(ctx context.Context, shard message.ShardID) ([]Segment, error)
}

// SegmentState says where the bytes of a segment are.
type SegmentState uint8

// The states.
const (
	SegmentLocal   SegmentState = iota // on the node's disk only
	SegmentSealed                      // in the object store, and still on the node's disk
	SegmentTrimmed                     // in the object store only
)

// Segment is a range of a shard's log.
type Segment struct {
	Base, End   message.Position
	State       SegmentState
	Bytes       int64     // of its records; 0 if nobody has counted them
	Records     int64     // 0 if nobody has counted them
	First, Last time.Time // store times; zero if not known
	Sequence    uint64    // in the shard's manifest; 0 if not sealed
	Objects     []SegmentObject
}

// SegmentObject is one object of a sealed segment.
type SegmentObject struct {
	Key     string
	Class   string
	Bytes   int64
	Records int64
}

var segmentStates = map[SegmentState]adminv1.SegmentState{
	SegmentLocal:   adminv1.SegmentState_SEGMENT_STATE_LOCAL,
	SegmentSealed:  adminv1.SegmentState_SEGMENT_STATE_SEALED,
	SegmentTrimmed: adminv1.SegmentState_SEGMENT_STATE_TRIMMED,
}

// ListSegments lists segments; the page token is shard and base of the last one of the page before.
func (s *Service) ListSegments(ctx context.Context, req *adminv1.ListSegmentsRequest) (*adminv1.ListSegmentsResponse, error) {
	limit := pageSize(req.GetPageSize())
	res := &adminv1.ListSegmentsResponse{}
	for _, shard := range s.shards {
		if req.Shard != nil && uint32(shard.ID()) != req.GetShard() {
			continue
		}
		segments, err := s.segments.List(ctx, shard.ID())
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", shard.ID(), err)
		}
		for _, segment := range segments {
			state := segmentStates[segment.State]
			if segmentToken(shard.ID(), segment.Base) <= req.GetPageToken() || len(req.GetStates()) > 0 && !slices.Contains(req.GetStates(), state) {
				continue
			}
			if len(res.Segments) == limit {
				last := res.Segments[limit-1]
				res.NextPageToken = segmentToken(message.ShardID(last.GetShard()), message.Position(last.GetBase()))
				return res, nil
			}
			res.Segments = append(res.Segments, segmentMessage(shard.ID(), segment, state))
		}
	}
	return res, nil
}

// segmentToken sorts as shard and base do.
func segmentToken(shard message.ShardID, base message.Position) string {
	return shard.String() + "/" + base.String()
}

func segmentMessage(shard message.ShardID, segment Segment, state adminv1.SegmentState) *adminv1.Segment {
	out := &adminv1.Segment{
		Shard:            uint32(shard),
		Base:             uint64(segment.Base),
		End:              uint64(segment.End),
		State:            state,
		Bytes:            segment.Bytes,
		Records:          segment.Records,
		ManifestSequence: segment.Sequence,
	}
	if !segment.First.IsZero() {
		out.FirstStoreTime = timestamppb.New(segment.First)
	}
	if !segment.Last.IsZero() {
		out.LastStoreTime = timestamppb.New(segment.Last)
	}
	for _, o := range segment.Objects {
		out.Objects = append(out.Objects, &adminv1.SegmentObject{Key: o.Key, RetentionClass: o.Class, Bytes: o.Bytes, Records: o.Records})
	}
	return out
}
