package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// MaxReceive bounds the messages of one receive.
const MaxReceive = 32

// LargeBody is the size in bytes of records above which a message is delivered alone: some clients take no answer
// above 4 MiB.
const LargeBody = 3 << 20

// ReceiveRequest asks for messages of a topic for one consumer of a group.
type ReceiveRequest struct {
	Topic     *meta.Topic
	Group     *meta.Group
	Filter    filter.Filter
	Max       int           // messages; taken as 1 … MaxReceive
	Invisible time.Duration // ignored when AutoRenew
	AutoRenew bool          // invisible to others as long as the client lives
	Client    string
	Poll      time.Duration // how long to wait for a first message
}

// Received is one message handed to a consumer.
type Received struct {
	Handle storelayer.Handle
	Bytes  []byte // the stored message, the caller's
}

// Receive leases messages, at most for as long as Poll waits for the first one. No message is no error.
// What it returns and the caller cannot deliver must go to Release.
func (p *Proxy) Receive(ctx context.Context, req *ReceiveRequest) ([]Received, error) {
	r, err := p.route(req.Topic)
	if err != nil {
		return nil, err
	}
	lease := storelayer.LeaseRequest{
		Group:       req.Group.Name,
		Generation:  uint32(req.Group.Generation),
		Topic:       req.Topic.ID,
		Filter:      req.Filter,
		Max:         min(max(req.Max, 1), MaxReceive),
		MaxBytes:    LargeBody,
		Invisible:   req.Invisible,
		AutoRenew:   req.AutoRenew,
		Client:      req.Client,
		MaxAttempts: req.Group.MaxAttempts,
		Start:       startFrom(req.Group),
	}
	end := time.Now().Add(req.Poll)
	turn := r.turn.Add(1)
	tokens := make([]uint64, len(r.shards))
	for {
		retry := p.tryClosedQueues(ctx, req.Topic.ID, end)
		for i := range r.shards {
			at := (int(turn) + i) % len(r.shards)
			received, token, err := p.leaseFrom(ctx, r.shards[at], turn, lease, end)
			if err != nil || len(received) > 0 {
				r.stats.received(req.Group.Name, received)
				return received, err
			}
			tokens[at] = token
		}
		select {
		case <-p.draining:
			return nil, nil
		default:
		}
		if !time.Now().Before(end) {
			return nil, nil
		}
		until := end
		if !retry.IsZero() && retry.Before(end) {
			until = retry
		}
		if err := p.waitAny(ctx, r, lease, tokens, until); err != nil {
			return nil, err
		}
	}
}

// leaseFrom leases from one shard until it gets something to deliver or nothing more: messages that turn
// out not to match, or to be gone, are settled on the way and do not count. When the poll is over it stops, so that a
// long history without a match, or one queue after the other that cannot be read, does not outlast the client.
func (p *Proxy) leaseFrom(ctx context.Context, on shardQueues, turn uint32, lease storelayer.LeaseRequest, end time.Time) ([]Received, uint64, error) {
	stop := time.Now().Add(coldReadLeast)
	if end.After(stop) {
		stop = end
	}
	for {
		lease.Queues = p.cold.open(lease.Topic, on.rotated(turn))
		if len(lease.Queues) == 0 {
			return nil, 0, nil
		}
		leased, err := p.lease(ctx, on.shard, &lease, end)
		if err != nil {
			return nil, 0, err
		}
		if len(leased.Deliveries) == 0 {
			return nil, leased.Token, nil
		}
		if received := p.resolve(ctx, on.shard, leased, lease.Filter, end); len(received) > 0 {
			return received, 0, nil
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		if !time.Now().Before(stop) {
			return nil, 0, nil
		}
	}
}

// lease leases from a shard, which itself may have to ask the bucket where a new group begins: a bucket that hangs must
// not hold the receive beyond its poll.
func (p *Proxy) lease(ctx context.Context, shard storelayer.Shard, req *storelayer.LeaseRequest, end time.Time) (storelayer.Leased, error) {
	waiting, cancel := context.WithTimeout(ctx, coldReadTime(end))
	defer cancel()
	leased, err := shard.Lease(waiting, req)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return leased, fmt.Errorf("%w: lease from shard %s: %w", ErrHistory, shard.ID(), err)
	}
	return leased, err
}

// startFrom says where a new group begins.
func startFrom(group *meta.Group) storelayer.StartFrom {
	switch group.From {
	case meta.FromFirst:
		return storelayer.StartFrom{Policy: storelayer.StartFirst}
	case meta.FromLast:
		return storelayer.StartFrom{Policy: storelayer.StartLast}
	case meta.FromTimestamp:
		return storelayer.StartFrom{Policy: storelayer.StartAtTime, Time: group.FromTime.UnixMilli()}
	case meta.FromAuto:
		return storelayer.StartFrom{Policy: storelayer.StartAuto}
	default:
		return storelayer.StartFrom{Policy: storelayer.StartAuto}
	}
}

// waitAny waits until one of the topic's shards may have something, until the time until, or until a
// drain; its error is ctx's, or that of a shard that cannot wait.
func (p *Proxy) waitAny(ctx context.Context, r *route, lease storelayer.LeaseRequest, tokens []uint64, until time.Time) error {
	waiting, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	defer p.onDrain(cancel)()
	wait := func(i int) error {
		queues := p.cold.open(lease.Topic, r.shards[i].rotated(0))
		if len(queues) == 0 {
			<-waiting.Done() // nothing may be leased before a read works
			return waiting.Err()
		}
		return r.shards[i].shard.Wait(waiting, &storelayer.WaitRequest{
			Group: lease.Group, Generation: lease.Generation, Topic: lease.Topic, Queues: queues, Token: tokens[i],
		})
	}
	var err error
	if len(r.shards) == 1 {
		err = wait(0)
	} else {
		results := make(chan error, len(r.shards))
		var waits sync.WaitGroup
		for i := range r.shards {
			waits.Go(func() { results <- wait(i) })
		}
		err = <-results // the first answer counts
		ended := waiting.Err() != nil
		cancel()
		waits.Wait()
		if !ended && err == nil {
			return nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case waiting.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return nil
	default:
		return err
	}
}
