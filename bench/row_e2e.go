package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	pacedRate    = 1000 // messages per second
	pacedSenders = 64
	longPolls    = 16
	longPoll     = 20 * time.Second
)

// rowEndToEnd measures how long a message takes from the call of the send until a waiting consumer has it, at a load
// far below the limit, beside the two things that it cannot do without: a round trip and a sync of the disk.
func (b *bench) rowEndToEnd(ctx context.Context, row *Row) error {
	s, err := b.startBroker(ctx, row.ID, nil, hotFlags...)
	if err != nil {
		return err
	}
	defer s.remove()
	c, err := b.createDurable(ctx, s, "paced", sendQueues)
	if err != nil {
		return err
	}
	defer c.close()

	var rounds []pacedRound
	for round := range b.settings.rounds {
		r, err := b.endToEndRound(ctx, s, c, round)
		if err != nil {
			return err
		}
		b.logf("  %s round %d: p50 %.0f µs, p99 %.0f µs, server CPU %.1f µs; echo p50 %.0f µs, p99 %.0f µs, CPU %.1f µs; sync %.0f µs", row.ID, round+1,
			r.messages.micros(0.5), r.messages.micros(0.99), r.messages.cpuMicros(), r.echo.micros(0.5), r.echo.micros(0.99), r.echo.cpuMicros(), micros(r.sync))
		rounds = append(rounds, r)
	}
	over := func(of func(r *pacedRound) float64) float64 {
		values := make([]float64, len(rounds))
		for i := range rounds {
			values[i] = of(&rounds[i])
		}
		return median(values)
	}
	row.Echo = &Echo{over(func(r *pacedRound) float64 { return r.busy.perSecond() }), over(func(r *pacedRound) float64 { return r.busy.cpuMicros() })}
	row.value("p50", over(func(r *pacedRound) float64 { return r.messages.micros(0.5) }), "µs")
	row.value("p99", over(func(r *pacedRound) float64 { return r.messages.micros(0.99) }), "µs")
	row.value("server CPU", over(func(r *pacedRound) float64 { return r.messages.cpuMicros() }), "µs")
	row.value("round trip of an echo at 1,000/s, p50", over(func(r *pacedRound) float64 { return r.echo.micros(0.5) }), "µs")
	row.value("round trip of an echo at 1,000/s, p99", over(func(r *pacedRound) float64 { return r.echo.micros(0.99) }), "µs")
	row.value("server CPU of an echo at 1,000/s", over(func(r *pacedRound) float64 { return r.echo.cpuMicros() }), "µs")
	row.value("the disk's own fdatasync, p50", over(func(r *pacedRound) float64 { return micros(r.sync) }), "µs")
	row.atMost("p50 / (round trip + fdatasync)", over(func(r *pacedRound) float64 { return r.messages.micros(0.5) / r.floor() }), 3, "x")
	row.atMost("p99 / (round trip + fdatasync)", over(func(r *pacedRound) float64 { return r.messages.micros(0.99) / r.floor() }), 10, "x")
	row.atMost("server CPU per message / echo", over(func(r *pacedRound) float64 { return r.messages.cpuMicros() / r.busy.cpuMicros() }), 5, "x")
	row.Notes = append(row.Notes, "A message is three calls: send, receive, acknowledge. A server that is mostly idle pays for every call with wake-ups "+
		"that 64 callers share; the echo at the same rate says what one call costs then.")
	return nil
}

// pacedRound is a round of this row.
type pacedRound struct {
	busy     window // the echo under 64 callers, whose CPU is that of the echo of all rows
	echo     paced
	sync     time.Duration
	messages paced
}

// floor is what a message cannot do without: a round trip and a sync, in µs.
func (r *pacedRound) floor() float64 { return r.echo.micros(0.5) + micros(r.sync) }

func (b *bench) endToEndRound(ctx context.Context, s *broker, c *client, round int) (r pacedRound, err error) {
	if r.busy, err = b.echo.load(echoCallers).run(ctx, b.echo.cpu, b.settings.warm, b.settings.window); err != nil {
		return r, err
	}
	if r.echo, err = b.pacedEcho(ctx); err != nil {
		return r, err
	}
	if r.sync, err = measureSync(b.scratch, 200); err != nil {
		return r, err
	}
	profiled := b.profile(ctx, s.http, fmt.Sprintf("e2e-%d", round))
	if r.messages, err = b.pacedMessages(ctx, s, c); err != nil {
		return r, err
	}
	return r, <-profiled
}

// paced is what came of a load of a fixed rate.
type paced struct {
	window
	latencies []time.Duration // sorted
}

func (p *paced) micros(q float64) float64 { return micros(quantile(p.latencies, q)) }

// pacedMessages sends at the fixed rate while the consumers poll, and returns the latencies of the messages that were
// sent after the warm-up.
func (b *bench) pacedMessages(ctx context.Context, s *broker, c *client) (paced, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var out struct {
		sync.Mutex
		latencies []time.Duration
	}
	var counting atomic.Bool
	var stopped atomic.Bool
	consumers, consumeCtx := errgroup.WithContext(ctx)
	for caller := range longPolls {
		r, err := newReceiver(c.conn(caller), "paced", "paced", receiveBatch, longPoll)
		if err != nil {
			return paced{}, err
		}
		consumers.Go(func() error {
			ctx := callerContext(consumeCtx, caller)
			for !stopped.Load() {
				if _, err := r.receive(ctx, func(m received) {
					took := time.Since(stamped(m.body))
					if counting.Load() {
						out.Lock()
						out.latencies = append(out.latencies, took)
						out.Unlock()
					}
				}); err != nil && !stopped.Load() {
					return fmt.Errorf("consumer %d: %w", caller, err)
				}
			}
			return nil
		})
	}
	w, err := b.pace(ctx, s.cpu, &counting, func(caller int) (op, error) {
		request, err := newSendRequest("paced", 1, plainBody)
		if err != nil {
			return nil, err
		}
		answer, conn := new(reply), c.conn(caller)
		return func(ctx context.Context) (int, error) {
			stamp(request.bodies[0], time.Now())
			return request.send(ctx, conn, answer)
		}, nil
	})
	stopped.Store(true)
	cancel() // ends the long polls
	if failure := consumers.Wait(); failure != nil {
		return paced{}, failure
	}
	if err != nil {
		return paced{}, err
	}
	out.Lock()
	defer out.Unlock()
	if len(out.latencies) == 0 {
		return paced{}, errIdle
	}
	slices.Sort(out.latencies)
	w.messages = int64(len(out.latencies)) // what was delivered, so that work left undone is not free
	return paced{w, out.latencies}, nil
}

// pacedEcho makes echoes at the same rate.
func (b *bench) pacedEcho(ctx context.Context) (paced, error) {
	var out struct {
		sync.Mutex
		latencies []time.Duration
	}
	var counting atomic.Bool
	w, err := b.pace(ctx, b.echo.cpu, &counting, func(caller int) (op, error) {
		request, err := proto.Marshal(wrapperspb.Bytes(plainBody()))
		if err != nil {
			return nil, err
		}
		answer, conn := new(reply), b.echo.client.conn(caller)
		return func(ctx context.Context) (int, error) {
			start := time.Now()
			if err := conn.Invoke(ctx, methodEcho, request, answer); err != nil {
				return 0, err
			}
			took := time.Since(start)
			if counting.Load() {
				out.Lock()
				out.latencies = append(out.latencies, took)
				out.Unlock()
			}
			return 1, nil
		}, nil
	})
	if err != nil {
		return paced{}, err
	}
	out.Lock()
	defer out.Unlock()
	if len(out.latencies) == 0 {
		return paced{}, errIdle
	}
	slices.Sort(out.latencies)
	return paced{w, out.latencies}, nil
}

// pace makes the calls of a fixed rate, whatever the answers take: as many callers as needed, up to a bound. Counting
// is true during the window.
func (b *bench) pace(ctx context.Context, cpu func() (time.Duration, error), counting *atomic.Bool, newOp func(caller int) (op, error)) (window, error) {
	due := make(chan struct{}, pacedRate) // a second of calls that nobody was free for
	senders, sendCtx := errgroup.WithContext(ctx)
	for caller := range pacedSenders {
		call, err := newOp(caller)
		if err != nil {
			close(due)
			return window{}, err
		}
		senders.Go(func() error {
			ctx := callerContext(sendCtx, caller)
			for range due {
				if _, err := call(ctx); err != nil {
					return fmt.Errorf("caller %d: %w", caller, err)
				}
			}
			return nil
		})
	}
	w, err := tick(sendCtx, due, cpu, counting, b.settings.warm, b.settings.window)
	close(due)
	if failure := senders.Wait(); failure != nil {
		return window{}, failure
	}
	return w, err
}

// tick asks for calls at the fixed rate and counts what the server used between warm-up and end.
func tick(ctx context.Context, due chan<- struct{}, cpu func() (time.Duration, error), counting *atomic.Bool, warm, length time.Duration) (window, error) {
	ticker := time.NewTicker(time.Second / pacedRate)
	defer ticker.Stop()
	var w window
	var before time.Duration
	var err error
	asked, start := 0, time.Now()
	for {
		now := time.Since(start)
		for ; asked < int(now.Seconds()*pacedRate); asked++ {
			select {
			case due <- struct{}{}:
				if counting.Load() {
					w.messages++
				}
			case <-ctx.Done():
				return w, context.Cause(ctx)
			}
		}
		if now >= warm && !counting.Load() {
			if before, err = cpu(); err != nil {
				return w, err
			}
			counting.Store(true)
		}
		if now >= warm+length {
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return w, context.Cause(ctx)
		}
	}
	counting.Store(false)
	after, err := cpu()
	w.elapsed, w.cpu = time.Since(start)-warm, after-before
	return w, err
}
