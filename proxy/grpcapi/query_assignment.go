package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// anyQueue is the queue id of an assignment that means every queue of the broker.
const anyQueue = -1

// QueryAssignment tells a consumer where to receive from. Load is balanced per message, so every consumer
// of the group gets the same, full list: one assignment for all queues of the one broker. It must not
// differ from call to call, or clients throw away what they hold.
func (s *Server) QueryAssignment(ctx context.Context, req *pb.QueryAssignmentRequest) (*pb.QueryAssignmentResponse, error) {
	assignments, err := s.queryAssignment(ctx, req)
	return &pb.QueryAssignmentResponse{Status: s.answer("QueryAssignment", err), Assignments: assignments}, nil
}

func (s *Server) queryAssignment(ctx context.Context, req *pb.QueryAssignmentRequest) ([]*pb.Assignment, error) {
	if _, err := clientID(ctx); err != nil {
		return nil, err
	}
	topic, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return nil, err
	}
	if _, err := s.group(ctx, req.GetGroup()); err != nil {
		return nil, err
	}
	broker, err := s.broker(ctx, req.GetEndpoints())
	if err != nil {
		return nil, err
	}
	return []*pb.Assignment{{MessageQueue: &pb.MessageQueue{
		Topic:              req.GetTopic(),
		Id:                 anyQueue,
		Permission:         pb.Permission_READ_WRITE,
		Broker:             broker,
		AcceptMessageTypes: []pb.MessageType{acceptedType(topic.Type)},
	}}}, nil
}
