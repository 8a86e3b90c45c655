package grpcapi

import (
	"context"
	"errors"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// PullMessage reads messages of one queue from an offset on, without a lease: a status, the messages, and
// always the offset where the next pull goes on, which after ILLEGAL_OFFSET is the nearest one that the queue has. At the end of the
// queue it waits like a receive.
func (s *Server) PullMessage(req *pb.PullMessageRequest, stream pb.MessagingService_PullMessageServer) error {
	ctx := stream.Context()
	pulled, pulling, err := s.pull(ctx, req)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	status := &pb.PullMessageResponse{Content: &pb.PullMessageResponse_Status{Status: s.answer("PullMessage", err)}}
	if err := stream.Send(status); err != nil {
		return err
	}
	if !pulling {
		return nil // an error is exactly one frame
	}
	frames := newFrames(req.GetMessageQueue().GetTopic())
	defer frames.free()
	for _, m := range pulled.Messages {
		frame, err := frames.pulled(m)
		if err != nil {
			// The next offset would step over it, so the stream ends here and the client hears why.
			s.log.Error("stored message cannot be encoded", "queue", m.Queue, "offset", m.Offset, "err", err)
			pulled.Next = m.Offset
			break
		}
		if err := stream.SendMsg(frame); err != nil {
			return err
		}
	}
	return stream.Send(&pb.PullMessageResponse{Content: &pb.PullMessageResponse_NextOffset{NextOffset: int64(pulled.Next)}})
}

// pull reports true if the answer has a next offset.
func (s *Server) pull(ctx context.Context, req *pb.PullMessageRequest) (proxy.Pulled, bool, error) {
	now := time.Now()
	_, topic, id, err := s.groupQueue(ctx, req.GetGroup(), req.GetMessageQueue())
	if err != nil {
		return proxy.Pulled{}, false, err
	}
	f, err := compileFilter(req.GetFilterExpression())
	if err != nil {
		return proxy.Pulled{}, false, err
	}
	leave, err := s.enterPoll()
	if err != nil {
		return proxy.Pulled{}, false, err
	}
	defer leave()
	pulled, err := s.proxy.Pull(ctx, &proxy.PullRequest{
		Topic:  topic,
		Queue:  id,
		Offset: message.Offset(req.GetOffset()),
		Filter: f,
		Max:    int(req.GetBatchSize()),
		Poll:   pollTime(ctx, req.GetLongPollingTimeout(), s.config.LongPolling, now),
	})
	if outside, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); ok {
		pulled.Next = min(max(message.Offset(req.GetOffset()), outside.First), outside.Next)
		return pulled, true, err
	}
	if err == nil && len(pulled.Messages) == 0 {
		err = errNoMessage
		return pulled, true, err
	}
	return pulled, err == nil, err
}
