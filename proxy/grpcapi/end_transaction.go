package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// EndTransaction commits or rolls back a half message. There are no transactions yet, and a topic cannot be created for
// them, so nothing can be pending.
func (s *Server) EndTransaction(ctx context.Context, _ *pb.EndTransactionRequest) (*pb.EndTransactionResponse, error) {
	return &pb.EndTransactionResponse{Status: s.answer("EndTransaction", s.notYet(ctx))}, nil
}

// notYet refuses what this version does not do, inside the Status like every refusal.
func (s *Server) notYet(ctx context.Context) error {
	if _, err := clientID(ctx); err != nil {
		return err
	}
	return refuse(pb.Code_NOT_IMPLEMENTED, "not implemented yet: this version has NORMAL messages only")
}
