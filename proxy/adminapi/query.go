package adminapi

import (
	"context"
	"errors"
	"math"

	"connectrpc.com/connect"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// How many messages a query answers.
const (
	defaultQueryLimit = 64
	maxQueryLimit     = 10_000
)

// QueryMessages streams the messages that match, wherever they are, and ends.
func (s *Service) QueryMessages(ctx context.Context, req *adminv1.QueryMessagesRequest, stream *connect.ServerStream[adminv1.QueryMessagesResponse]) error {
	release, err := s.stream()
	if err != nil {
		return err
	}
	defer release()
	if err := s.query(ctx, req, stream); err != nil {
		return answerError(s.log, "QueryMessages", err)
	}
	return nil
}

func (s *Service) query(ctx context.Context, req *adminv1.QueryMessagesRequest, stream *connect.ServerStream[adminv1.QueryMessagesResponse]) error {
	t, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return err
	}
	answer := &queryAnswer{stream: stream, left: defaultQueryLimit, omitBody: req.GetOmitBody()}
	if req.GetLimit() > 0 {
		answer.left = int(min(req.GetLimit(), maxQueryLimit))
	}
	switch by := req.GetBy().(type) {
	case *adminv1.QueryMessagesRequest_MessageId:
		err = s.queryIndex(ctx, t, message.IndexByID, by.MessageId, answer)
	case *adminv1.QueryMessagesRequest_Key:
		err = s.queryIndex(ctx, t, message.IndexByKey, by.Key, answer)
	case *adminv1.QueryMessagesRequest_Time:
		err = s.queryTime(ctx, t, by.Time, answer)
	case *adminv1.QueryMessagesRequest_Position:
		err = s.queryPosition(ctx, t, by.Position, answer)
	default:
		err = invalid("by: none of message_id, key, time, position given")
	}
	if err != nil {
		return err
	}
	return answer.end()
}

// queryAnswer sends messages as long as the limit permits.
type queryAnswer struct {
	stream    *connect.ServerStream[adminv1.QueryMessagesResponse]
	left      int
	omitBody  bool
	truncated bool
}

// send sends messages and reports whether more may follow.
func (a *queryAnswer) send(messages []message.Located, cold func(message.Located) bool) (bool, error) {
	if len(messages) > a.left {
		messages, a.truncated = messages[:a.left], true
	}
	a.left -= len(messages)
	res := &adminv1.QueryMessagesResponse{}
	for _, m := range messages {
		shown, err := showMessage(m, cold(m), a.omitBody)
		if err != nil {
			return false, err
		}
		res.Messages = append(res.Messages, shown)
	}
	if len(res.Messages) > 0 {
		if err := a.stream.Send(res); err != nil {
			return false, err
		}
	}
	return !a.truncated, nil
}

func (a *queryAnswer) end() error {
	return a.stream.Send(&adminv1.QueryMessagesResponse{Truncated: a.truncated})
}

// queryIndex finds messages by key or id in every tier, newest first.
func (s *Service) queryIndex(ctx context.Context, t *meta.Topic, kind message.IndexKind, text string, answer *queryAnswer) error {
	if text == "" {
		return invalid("by: the text to look for is empty")
	}
	// One more than wanted tells whether the limit cut anything off.
	found, err := s.proxy.Lookup(ctx, t, kind, text, answer.left+1)
	if err != nil {
		return err
	}
	firstLocal := make(map[message.QueueID]message.Offset)
	for _, m := range found {
		if _, known := firstLocal[m.Queue.ID]; known {
			continue
		}
		state, err := s.proxy.Queue(ctx, t, m.Queue.ID)
		if err != nil {
			return err
		}
		firstLocal[m.Queue.ID] = state.FirstLocal
	}
	_, err = answer.send(found, func(m message.Located) bool { return m.Offset < firstLocal[m.Queue.ID] })
	return err
}

// queryTime goes through the queues one after the other.
func (s *Service) queryTime(ctx context.Context, t *meta.Topic, span *adminv1.TimeRange, answer *queryAnswer) error {
	end := int64(math.MaxInt64)
	if span.GetEnd() != nil {
		if err := span.GetEnd().CheckValid(); err != nil {
			return invalid("time.end: %w", err)
		}
		end = span.GetEnd().AsTime().UnixMilli()
	}
	if span.GetStart() != nil {
		if err := span.GetStart().CheckValid(); err != nil {
			return invalid("time.start: %w", err)
		}
	}
	queues, err := s.queuesOf(t, nil)
	if err != nil {
		return err
	}
	for _, id := range queues {
		shard, err := s.shardOf(t, id)
		if err != nil {
			return err
		}
		state, err := s.proxy.Queue(ctx, t, id)
		if err != nil {
			return err
		}
		c := cursor{id: id, shard: shard, next: state.First}
		if span.GetStart() != nil {
			if c.next, err = s.proxy.OffsetAt(ctx, t, id, span.GetStart().AsTime().UnixMilli()); err != nil {
				return err
			}
		}
		// Up to where the queue ended when the query began: a busy topic must not keep it going for ever.
		if more, err := s.queryQueue(ctx, t, c, state.Next, end, answer); err != nil || !more {
			return err
		}
	}
	return nil
}

// queryQueue sends the messages of a queue before an offset and a time, and reports whether more may follow.
func (s *Service) queryQueue(ctx context.Context, t *meta.Topic, c cursor, until message.Offset, end int64, answer *queryAnswer) (bool, error) {
	for c.next < until {
		got, err := s.pull(ctx, t, &c, filter.Filter{})
		if err != nil {
			return false, err
		}
		if !got.moved {
			return true, nil
		}
		// Store times of a queue never go back, so the first one that is too late ends it.
		n := len(got.messages)
		for i, m := range got.messages {
			if m.Offset >= until || message.Stored(m.Stored).StoreTime() >= end {
				n = i
				break
			}
		}
		more, err := answer.send(got.messages[:n], got.cold)
		if err != nil || !more {
			return false, err
		}
		if n < len(got.messages) {
			return true, nil
		}
	}
	return true, nil
}

// queryPosition sends one message by its place.
func (s *Service) queryPosition(ctx context.Context, t *meta.Topic, at *adminv1.QueuePosition, answer *queryAnswer) error {
	id := message.QueueID(at.GetQueue())
	state, err := s.proxy.Queue(ctx, t, id)
	if err != nil {
		return err
	}
	m, err := s.proxy.MessageAt(ctx, t, id, message.Offset(at.GetOffset()))
	if gone, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); ok {
		return connect.NewError(connect.CodeNotFound, gone)
	}
	if err != nil {
		return err
	}
	_, err = answer.send([]message.Located{m}, func(m message.Located) bool { return m.Offset < state.FirstLocal })
	return err
}
