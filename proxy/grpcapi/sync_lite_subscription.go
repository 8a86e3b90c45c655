package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// SyncLiteSubscription tells the lite topics that a consumer wants. There are no lite topics yet.
func (s *Server) SyncLiteSubscription(ctx context.Context, _ *pb.SyncLiteSubscriptionRequest) (*pb.SyncLiteSubscriptionResponse, error) {
	return &pb.SyncLiteSubscriptionResponse{Status: s.answer("SyncLiteSubscription", s.notYet(ctx))}, nil
}
