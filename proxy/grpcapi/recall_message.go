package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// RecallMessage cancels a delayed message. There are no delayed messages yet.
func (s *Server) RecallMessage(ctx context.Context, _ *pb.RecallMessageRequest) (*pb.RecallMessageResponse, error) {
	return &pb.RecallMessageResponse{Status: s.answer("RecallMessage", s.notYet(ctx))}, nil
}
