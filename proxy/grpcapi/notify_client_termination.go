package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// NotifyClientTermination forgets a client and makes visible again what it had leased with renewal. A client
// that is not known is told OK, unlike by the Java server: there is one whose shutdown fails otherwise. The group is not looked
// at: producers have none.
func (s *Server) NotifyClientTermination(ctx context.Context, _ *pb.NotifyClientTerminationRequest) (*pb.NotifyClientTerminationResponse, error) {
	id, err := clientID(ctx)
	if err == nil {
		err = s.proxy.End(ctx, id)
	}
	return &pb.NotifyClientTerminationResponse{Status: s.answer("NotifyClientTermination", err)}, nil
}
