package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// queue returns the topic and the queue id that a message queue names. Here the id counts, unlike in a receive.
func (s *Server) queue(ctx context.Context, q *pb.MessageQueue) (*meta.Topic, message.QueueID, error) {
	topic, err := s.topic(ctx, q.GetTopic())
	if err != nil {
		return nil, 0, err
	}
	if q.GetId() < 0 || int(q.GetId()) >= s.proxy.QueueCount(topic) {
		return nil, 0, refuse(pb.Code_BAD_REQUEST, "the topic has no queue of this id")
	}
	return topic, message.QueueID(q.GetId()), nil
}

// groupQueue is queue, and the group that a request names.
func (s *Server) groupQueue(ctx context.Context, g *pb.Resource, q *pb.MessageQueue) (*meta.Group, *meta.Topic, message.QueueID, error) {
	if _, err := clientID(ctx); err != nil {
		return nil, nil, 0, err
	}
	topic, id, err := s.queue(ctx, q)
	if err != nil {
		return nil, nil, 0, err
	}
	group, err := s.group(ctx, g)
	if err != nil {
		return nil, nil, 0, err
	}
	return group, topic, id, nil
}
