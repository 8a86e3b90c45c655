package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
)

const (
	receiveCallers = 16
	receiveBatch   = 32
	emptyPoll      = time.Second // an empty queue is the end of the measurement, not worth waiting for
)

// rowReceive compares the consumption of hot messages with the echo. Every round is a group of its own, which begins
// at the oldest message of the same topic.
func (b *bench) rowReceive(ctx context.Context, row *Row) error {
	s, c, err := b.sendTarget(ctx, row.ID)
	if err != nil {
		return err
	}
	defer s.remove()
	defer c.close()
	echo := b.echo.contender()
	rate, err := echo.load(0)
	if err != nil {
		return err
	}
	w, err := rate.run(ctx, echo.cpu, b.settings.warm, b.settings.window)
	if err != nil {
		return err
	}
	// Enough for a window at six times the echo's rate: a caller that finds nothing would measure the wait.
	need := int64(6 * w.perSecond() * (b.settings.warm + b.settings.window).Seconds())
	if err := b.prefill(ctx, c, "durable", need, plainBody); err != nil {
		return err
	}
	b.logf("  %d messages wait", need)

	var empty atomic.Int64
	receive := contender{name: "receive", cpu: s.cpu, pprof: s.http, load: func(round int) (load, error) {
		return receiveFrom(c, "durable", fmt.Sprintf("hot-%d", round), &empty), nil
	}}
	result, err := b.hold(ctx, row.ID, echo, receive)
	if err != nil {
		return err
	}
	result.report(row, echo, receive)
	row.value("polls that found nothing", float64(empty.Load()), "")
	row.atLeast("messages / echo", result.rateRatio(0), 3, "x")
	row.atMost("server CPU per message / echo", result.cpuRatio(0), 0.3, "x")
	return nil
}

// receiveFrom is a load of receives of 32 messages, each acknowledged in one request.
func receiveFrom(c *client, topic, group string, empty *atomic.Int64) load {
	return load{receiveCallers, func(caller int) (op, error) {
		r, err := newReceiver(c.conn(caller), topic, group, receiveBatch, emptyPoll)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (int, error) {
			n, err := r.receive(ctx, func(received) {})
			if n == 0 {
				empty.Add(1)
			}
			return n, err
		}, nil
	}}
}

// prefill sends messages as fast as it can, without measuring.
func (b *bench) prefill(ctx context.Context, c *client, topic string, messages int64, body func() []byte) error {
	const callers, batch = 16, 64
	var left atomic.Int64
	left.Store(messages)
	group, ctx := errgroup.WithContext(ctx)
	for caller := range callers {
		group.Go(func() error {
			call, err := sender(c, topic, batch, body)(caller)
			if err != nil {
				return err
			}
			ctx := callerContext(ctx, caller)
			for left.Add(-batch) > -batch {
				if _, err := call(ctx); err != nil {
					return fmt.Errorf("fill %s: %w", topic, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// errIdle is returned where a measurement had nothing to count.
var errIdle = errors.New("nothing was counted")

// createDurable makes a durable topic and connects to the broker.
func (b *bench) createDurable(ctx context.Context, s *broker, topic string, queues int) (*client, error) {
	if err := s.createTopic(ctx, topic, queues, adminv1.AckMode_ACK_MODE_DURABLE); err != nil {
		return nil, err
	}
	return dial(s.addr, b.settings.connections)
}
