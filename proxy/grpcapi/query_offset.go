package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
)

// QueryOffset returns an offset of a queue: the first one in any tier, the next one to be written, or the first
// one stored at or after a time, the end if there is none.
func (s *Server) QueryOffset(ctx context.Context, req *pb.QueryOffsetRequest) (*pb.QueryOffsetResponse, error) {
	offset, err := s.queryOffset(ctx, req)
	return &pb.QueryOffsetResponse{Status: s.answer("QueryOffset", err), Offset: int64(offset)}, nil
}

func (s *Server) queryOffset(ctx context.Context, req *pb.QueryOffsetRequest) (message.Offset, error) {
	if _, err := clientID(ctx); err != nil {
		return 0, err
	}
	topic, id, err := s.queue(ctx, req.GetMessageQueue())
	if err != nil {
		return 0, err
	}
	switch req.GetQueryOffsetPolicy() {
	case pb.QueryOffsetPolicy_BEGINNING:
		state, err := s.proxy.Queue(ctx, topic, id)
		return state.First, err
	case pb.QueryOffsetPolicy_END:
		state, err := s.proxy.Queue(ctx, topic, id)
		return state.Next, err
	case pb.QueryOffsetPolicy_TIMESTAMP:
		if req.Timestamp == nil || req.GetTimestamp().CheckValid() != nil {
			return 0, refuse(pb.Code_BAD_REQUEST, "the policy TIMESTAMP needs a timestamp")
		}
		return s.proxy.OffsetAt(ctx, topic, id, req.GetTimestamp().AsTime().UnixMilli())
	default:
		return 0, refuse(pb.Code_BAD_REQUEST, "query offset policy is not known")
	}
}
