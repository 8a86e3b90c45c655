package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
)

// UpdateOffset commits a group's offset of a queue, for clients that pull. It never goes back.
func (s *Server) UpdateOffset(ctx context.Context, req *pb.UpdateOffsetRequest) (*pb.UpdateOffsetResponse, error) {
	return &pb.UpdateOffsetResponse{Status: s.answer("UpdateOffset", s.updateOffset(ctx, req))}, nil
}

func (s *Server) updateOffset(ctx context.Context, req *pb.UpdateOffsetRequest) error {
	group, topic, id, err := s.groupQueue(ctx, req.GetGroup(), req.GetMessageQueue())
	if err != nil {
		return err
	}
	if req.GetOffset() < 0 {
		return refuse(pb.Code_ILLEGAL_OFFSET, "offset is negative")
	}
	return s.proxy.Commit(ctx, topic, group, id, message.Offset(req.GetOffset()))
}
