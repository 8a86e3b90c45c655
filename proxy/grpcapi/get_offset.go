package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// GetOffset returns a group's committed offset of a queue, or OFFSET_NOT_FOUND.
func (s *Server) GetOffset(ctx context.Context, req *pb.GetOffsetRequest) (*pb.GetOffsetResponse, error) {
	offset, err := s.getOffset(ctx, req)
	return &pb.GetOffsetResponse{Status: s.answer("GetOffset", err), Offset: offset}, nil
}

func (s *Server) getOffset(ctx context.Context, req *pb.GetOffsetRequest) (int64, error) {
	group, topic, id, err := s.groupQueue(ctx, req.GetGroup(), req.GetMessageQueue())
	if err != nil {
		return 0, err
	}
	offset, err := s.proxy.Committed(ctx, topic, group, id)
	return int64(offset), err
}
