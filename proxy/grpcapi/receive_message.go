package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/proxy"
)

// minInvisible is the shortest invisible time of a receive without renewal.
const minInvisible = 10 * time.Second

// releaseTime bounds how long giving back undelivered messages may take.
const releaseTime = 5 * time.Second

// ReceiveMessage leases messages of a topic to one consumer of a group and streams them: a status first,
// then one frame per message, then the delivery time, which one client cannot do without. The queue id
// of the request is not looked at: all queues of the topic are tried.
//
// Unlike by the Java server an empty poll is never an error: it is answered before the caller's deadline,
// however short, since an answer that comes too late leaves messages invisible that nobody has. A request
// that overtakes its client's Settings is served. What is certainly not delivered, because the client
// has gone, is given back without counting an attempt.
func (s *Server) ReceiveMessage(req *pb.ReceiveMessageRequest, stream pb.MessagingService_ReceiveMessageServer) error {
	ctx := stream.Context()
	received, err := s.receive(ctx, req)
	if ctx.Err() != nil {
		s.release(ctx, received)
		return context.Cause(ctx)
	}
	if err == nil && len(received) == 0 {
		err = errNoMessage
	}
	status := &pb.ReceiveMessageResponse{Content: &pb.ReceiveMessageResponse_Status{Status: s.answer("ReceiveMessage", err)}}
	if err := stream.Send(status); err != nil {
		s.release(ctx, received)
		return err
	}
	frames := newFrames(req.GetMessageQueue().GetTopic())
	defer frames.free()
	for i, d := range received {
		frame, err := frames.delivery(d)
		if err != nil {
			// The stored bytes passed their checksum, so this is a bug of ours; the others are not to blame.
			s.log.Error("stored message cannot be encoded", "queue", d.Handle.Queue, "offset", d.Handle.Offset, "err", err)
			continue
		}
		if err := stream.SendMsg(frame); err != nil {
			s.release(ctx, received[i:])
			return err
		}
	}
	if err != nil && codeOf(err) != pb.Code_MESSAGE_NOT_FOUND {
		return nil // an error is exactly one frame
	}
	return stream.Send(&pb.ReceiveMessageResponse{Content: &pb.ReceiveMessageResponse_DeliveryTimestamp{DeliveryTimestamp: timestamppb.Now()}})
}

// errNoMessage is the normal outcome of a poll that found nothing.
var errNoMessage = refuse(pb.Code_MESSAGE_NOT_FOUND, "no new message")

func (s *Server) receive(ctx context.Context, req *pb.ReceiveMessageRequest) ([]proxy.Received, error) {
	now := time.Now()
	client, err := clientID(ctx)
	if err != nil {
		return nil, err
	}
	topic, err := s.topic(ctx, req.GetMessageQueue().GetTopic())
	if err != nil {
		return nil, err
	}
	group, err := s.group(ctx, req.GetGroup())
	if err != nil {
		return nil, err
	}
	f, err := compileFilter(req.GetFilterExpression())
	if err != nil {
		return nil, err
	}
	invisible := req.GetInvisibleDuration().AsDuration()
	if !req.GetAutoRenew() && (req.GetInvisibleDuration().CheckValid() != nil || invisible < minInvisible || invisible > maxInvisible) {
		return nil, refuse(pb.Code_ILLEGAL_INVISIBLE_TIME, "invisible duration is outside 10 seconds to 12 hours")
	}
	leave, err := s.enterPoll()
	if err != nil {
		return nil, err
	}
	defer leave()
	// Receiving is a sign of life: renewal must not end because a client's settings have not come yet.
	s.proxy.Sessions().Touch(client, proxy.Client{Kind: consumerKind(req), Language: header(ctx, headerLanguage), Protocol: protocol, Group: group.Name}, now)
	return s.proxy.Receive(ctx, &proxy.ReceiveRequest{
		Topic:     topic,
		Group:     group,
		Filter:    f,
		Max:       int(req.GetBatchSize()),
		Invisible: invisible,
		AutoRenew: req.GetAutoRenew(),
		Client:    client,
		Poll:      pollTime(ctx, req.LongPollingTimeout, s.config.LongPolling, now),
	})
}

// consumerKind guesses what a consumer is whose settings have not been heard: only push consumers renew.
func consumerKind(req *pb.ReceiveMessageRequest) proxy.ClientKind {
	if req.GetAutoRenew() {
		return proxy.PushConsumer
	}
	return proxy.SimpleConsumer
}

// compileFilter compiles a request's filter. A type that is not said is TAG.
func compileFilter(e *pb.FilterExpression) (filter.Filter, error) {
	switch e.GetType() {
	case pb.FilterType_FILTER_TYPE_UNSPECIFIED, pb.FilterType_TAG:
		return filter.CompileTag(e.GetExpression())
	case pb.FilterType_SQL:
		return filter.Filter{}, refuse(pb.Code_NOT_IMPLEMENTED, "not implemented yet: filter by SQL92")
	default:
		return filter.Filter{}, refuse(pb.Code_ILLEGAL_FILTER_EXPRESSION, "filter type is not known")
	}
}

// enterPoll counts a long poll; the caller calls what it returns when the poll is over.
func (s *Server) enterPoll() (func(), error) {
	if s.polls.Add(1) > int64(s.config.MaxLongPolls) {
		s.polls.Add(-1)
		return nil, refuse(pb.Code_TOO_MANY_REQUESTS, "too many long polls")
	}
	return func() { s.polls.Add(-1) }, nil
}

// release gives back what could certainly not be delivered, although the client's own context has ended.
func (s *Server) release(ctx context.Context, received []proxy.Received) {
	if len(received) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := s.proxy.Release(ctx, received); err != nil {
		// They come again when their leases end.
		s.log.Warn("undelivered messages were not given back", "count", len(received), "err", err)
	}
}
