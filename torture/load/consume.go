package load

import (
	"context"
	"math/rand/v2"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

const (
	invisible = 10 * time.Second // the shortest that a receive may ask for
	shortPoll = 200 * time.Millisecond
)

// consume receives for a group until ctx ends and does with the messages what the group's mode says.
func (l *Load) consume(ctx context.Context, c *Client, g Group, rng *rand.Rand) {
	for ctx.Err() == nil {
		if err := l.receive(ctx, c, g, rng); err != nil {
			pause(ctx)
		}
	}
}

// receive is one receive and what follows from it.
func (l *Load) receive(ctx context.Context, c *Client, g Group, rng *rand.Rand) error {
	asked := l.ledger.Now()
	calls := context.WithoutCancel(ctx) // only the end of the broker ends a call
	messages, err := c.Receive(calls, g.Name, g.Topic, int32(1+rng.IntN(32)), invisible, shortPoll)
	var acks []*pb.Message
	var ids []uint64
	for _, m := range messages {
		id, ok := l.ledger.Delivered(g.Name, asked, seen(g.Topic, m))
		if !ok {
			continue
		}
		switch l.choose(g.Mode, rng) {
		case doAck:
			l.ledger.BeginAck(g.Name, id)
			acks, ids = append(acks, m), append(ids, id)
		case doRefuse:
			_ = c.Change(calls, g.Name, g.Topic, m, 0) // whatever the outcome, it comes again or is a dead letter
		case doForward:
			l.ledger.BeginForward(g.Name, id)
			if c.Forward(calls, g.Name, g.Topic, m) == nil {
				l.ledger.Forwarded(g.Name, id)
			}
		case doNothing:
		}
	}
	if len(acks) == 0 {
		return err
	}
	results, err := c.Ack(calls, g.Name, g.Topic, acks)
	for i, result := range results {
		if result == nil {
			l.ledger.Acked(g.Name, ids[i])
		}
	}
	return err
}

type deed uint8

const (
	doAck deed = iota
	doRefuse
	doForward
	doNothing
)

func (l *Load) choose(mode Mode, rng *rand.Rand) deed {
	switch mode {
	case Never:
		return doRefuse
	case Picky:
		switch k := rng.IntN(20); {
		case k < 12:
			return doAck
		case k < 17:
			return doRefuse
		case k < 19:
			return doForward
		default:
			return doNothing
		}
	case Settle:
	}
	return doAck
}

// pull reads one queue of the first topic behind its tail and commits how far it came.
func (l *Load) pull(ctx context.Context, c *Client, queue int32) {
	topic, calls := l.config.Topics[0], context.WithoutCancel(ctx)
	l.mu.Lock()
	offset := l.mu.pulled[queue]
	l.mu.Unlock()
	for ctx.Err() == nil {
		messages, next, err := c.Pull(calls, l.config.PullGroup, topic, queue, offset, shortPoll)
		for _, m := range messages {
			l.ledger.Read(seen(topic, m))
		}
		if err != nil {
			pause(ctx)
			continue
		}
		if next == offset {
			continue
		}
		offset = next
		l.ledger.BeginCommit(l.config.PullGroup, topic, queue, offset)
		if c.Commit(calls, l.config.PullGroup, topic, queue, offset) == nil {
			l.ledger.Committed(l.config.PullGroup, topic, queue, offset)
			l.mu.Lock()
			l.mu.pulled[queue] = offset
			l.mu.Unlock()
		}
	}
}
