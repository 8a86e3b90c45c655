package adminapi

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// maxTailQueues bounds the queues that one stream follows.
const maxTailQueues = 1024

// pullBatch is how many messages a stream reads at a time from one queue.
const pullBatch = 32

// tailWait bounds one wait for messages: a wake-up that a shard lost costs no more than this.
const tailWait = 5 * time.Second

// tailNames numbers the streams: a shard wakes one waiter per name.
var tailNames atomic.Uint64

// cursor is how far a stream has come in one queue.
type cursor struct {
	id    message.QueueID
	shard storelayer.Shard
	next  message.Offset
}

// TailMessages streams messages until the caller ends it, or until the server stops.
func (s *Service) TailMessages(ctx context.Context, req *adminv1.TailMessagesRequest, stream *connect.ServerStream[adminv1.TailMessagesResponse]) error {
	release, err := s.stream()
	if err != nil {
		return err
	}
	defer release()
	return answerError(s.log, "TailMessages", s.tail(ctx, req, stream))
}

// tail never returns nil: a stream ends with the reason why.
func (s *Service) tail(ctx context.Context, req *adminv1.TailMessagesRequest, stream *connect.ServerStream[adminv1.TailMessagesResponse]) error {
	if req.GetSql() != "" {
		return notYet("SQL92 filters")
	}
	wanted, err := filter.CompileTag(req.GetTag())
	if err != nil {
		return err
	}
	t, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return err
	}
	cursors, err := s.cursors(ctx, t, req)
	if err != nil {
		return err
	}
	name := "\x00tail-" + message.TopicID(tailNames.Add(1)).String() // no group can have this name
	// An empty answer tells the caller that the stream has begun: what is sent from now on will come.
	if err := stream.Send(&adminv1.TailMessagesResponse{}); err != nil {
		return err
	}
	for {
		tokens, err := s.tokens(ctx, t, cursors)
		if err != nil {
			return err
		}
		busy := false
		for i := range cursors {
			more, err := s.tailQueue(ctx, t, &cursors[i], wanted, req.GetOmitBody(), stream)
			if err != nil {
				return err
			}
			busy = busy || more
		}
		if busy {
			continue
		}
		if err := waitAny(ctx, t.ID, name, cursors, tokens, s.proxy.Draining()); err != nil {
			return err
		}
	}
}

// cursors returns where the stream begins in each queue.
func (s *Service) cursors(ctx context.Context, t *meta.Topic, req *adminv1.TailMessagesRequest) ([]cursor, error) {
	queues, err := s.queuesOf(t, req.GetQueues())
	if err != nil {
		return nil, err
	}
	if len(queues) > maxTailQueues {
		return nil, invalid("queues: a tail follows at most %d, topic %s has %d; name the ones that you want", maxTailQueues, t.Name, len(queues))
	}
	out := make([]cursor, 0, len(queues))
	for _, id := range queues {
		shard, err := s.shardOf(t, id)
		if err != nil {
			return nil, err
		}
		state, err := s.proxy.Queue(ctx, t, id)
		if err != nil {
			return nil, err
		}
		c := cursor{id: id, shard: shard, next: state.Next}
		switch start := req.GetStart().(type) {
		case *adminv1.TailMessagesRequest_First:
			c.next = state.First
		case *adminv1.TailMessagesRequest_Tail:
			c.next = max(state.Next-message.Offset(start.Tail), state.First)
		case *adminv1.TailMessagesRequest_Timestamp:
			if err := start.Timestamp.CheckValid(); err != nil {
				return nil, invalid("timestamp: %w", err)
			}
			if c.next, err = s.proxy.OffsetAt(ctx, t, id, start.Timestamp.AsTime().UnixMilli()); err != nil {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// tokens asks every shard what it has seen of the topic before the queues are read.
func (s *Service) tokens(ctx context.Context, t *meta.Topic, cursors []cursor) (map[storelayer.Shard]uint64, error) {
	tokens := make(map[storelayer.Shard]uint64)
	for _, c := range cursors {
		if _, known := tokens[c.shard]; known {
			continue
		}
		q := message.Queue{Topic: t.ID, ID: c.id}
		state, err := c.shard.Queue(ctx, q)
		if err != nil {
			return nil, err
		}
		got, err := c.shard.Fetch(ctx, &storelayer.FetchRequest{Queue: q, Offset: state.Next, Max: 1, MaxBytes: 1})
		if err != nil {
			return nil, err
		}
		tokens[c.shard] = got.Token
	}
	return tokens, nil
}

// tailQueue sends what a queue has at the cursor, one batch, and reports whether it had anything.
func (s *Service) tailQueue(ctx context.Context, t *meta.Topic, c *cursor, wanted filter.Filter, omitBody bool, stream *connect.ServerStream[adminv1.TailMessagesResponse]) (bool, error) {
	got, err := s.pull(ctx, t, c, wanted)
	if err != nil {
		return false, err
	}
	res := &adminv1.TailMessagesResponse{}
	for _, m := range got.messages {
		shown, err := showMessage(m, got.cold(m), omitBody)
		if err != nil {
			return false, err
		}
		res.Messages = append(res.Messages, shown)
	}
	if len(res.Messages) > 0 {
		if err := stream.Send(res); err != nil {
			return false, err
		}
	}
	return got.moved, nil
}

// pulled is what one look at a queue found.
type pulled struct {
	messages   []message.Located
	firstLocal message.Offset
	moved      bool // the cursor has moved
}

// cold reports whether a message was read from the bucket.
func (p pulled) cold(m message.Located) bool { return m.Offset < p.firstLocal }

// pull reads the messages at a cursor and moves it behind them. A cursor that retention has passed goes
// on at the first message that there still is.
func (s *Service) pull(ctx context.Context, t *meta.Topic, c *cursor, wanted filter.Filter) (pulled, error) {
	state, err := c.shard.Queue(ctx, message.Queue{Topic: t.ID, ID: c.id})
	if err != nil {
		return pulled{}, err
	}
	out := pulled{firstLocal: state.FirstLocal}
	got, err := s.proxy.Pull(ctx, &proxy.PullRequest{Topic: t, Queue: c.id, Offset: c.next, Filter: wanted, Max: pullBatch})
	if gone, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); ok && gone.First > c.next {
		c.next, out.moved = gone.First, true
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.messages, out.moved = got.Messages, got.Next > c.next
	c.next = got.Next
	return out, nil
}

// waitAny waits until a message of the topic may have arrived on any shard, or for a while. It ends with
// a drain as well as with ctx.
func waitAny(ctx context.Context, topic message.TopicID, name string, cursors []cursor, tokens map[storelayer.Shard]uint64, draining <-chan struct{}) error {
	waiting, cancel := context.WithTimeoutCause(ctx, tailWait, errWaited)
	defer cancel()
	// The first one to end ends the others, which then leave their places.
	group, waiting := errgroup.WithContext(waiting)
	for shard, token := range tokens {
		var queues []message.QueueID
		for _, c := range cursors {
			if c.shard == shard {
				queues = append(queues, c.id)
			}
		}
		group.Go(func() error {
			err := shard.Wait(waiting, &storelayer.WaitRequest{Group: name, Topic: topic, Queues: queues, Token: token})
			return cmp.Or(err, errWaited)
		})
	}
	group.Go(func() error {
		select {
		case <-draining:
			return connect.NewError(connect.CodeUnavailable, errors.New("the server is stopping"))
		case <-waiting.Done():
			return context.Cause(waiting)
		}
	})
	err := group.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errWaited), errors.Is(err, context.DeadlineExceeded):
		return nil
	default:
		return err
	}
}

// errWaited says that a wait is over and that another look is worth while.
var errWaited = errors.New("waited")
