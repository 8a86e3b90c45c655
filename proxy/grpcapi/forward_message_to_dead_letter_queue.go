package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// ForwardMessageToDeadLetterQueue moves a message to %DLQ%group now. Clients repeat it until they hear OK, so a message
// that has been forwarded already is OK. What the request says of attempts is not looked at: the shard counts them.
func (s *Server) ForwardMessageToDeadLetterQueue(ctx context.Context, req *pb.ForwardMessageToDeadLetterQueueRequest) (*pb.ForwardMessageToDeadLetterQueueResponse, error) {
	err := s.forward(ctx, req)
	return &pb.ForwardMessageToDeadLetterQueueResponse{Status: s.answer("ForwardMessageToDeadLetterQueue", err)}, nil
}

func (s *Server) forward(ctx context.Context, req *pb.ForwardMessageToDeadLetterQueueRequest) error {
	if _, err := clientID(ctx); err != nil {
		return err
	}
	if _, err := topicName(ctx, req.GetTopic()); err != nil {
		return err
	}
	group, err := groupName(ctx, req.GetGroup())
	if err != nil {
		return err
	}
	h, err := parseHandle(req.GetReceiptHandle(), group)
	if err != nil {
		return err
	}
	return s.proxy.DeadLetter(ctx, h)
}
