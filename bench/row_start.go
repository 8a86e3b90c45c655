package main

import (
	"context"
	"time"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
)

// rowStart measures how long a newcomer waits, and what a broker costs that has nothing to do.
func (b *bench) rowStart(ctx context.Context, row *Row) error {
	var took, anonymous, idle []float64
	quiet := 20 * time.Second
	if b.settings.quick {
		quiet = 2 * time.Second
	}
	starts := 2*b.settings.rounds + 1
	for i := range starts {
		start := time.Now()
		s, err := b.launch(ctx, row.ID, nil)
		if err != nil {
			return err
		}
		err = b.firstSend(ctx, s)
		took = append(took, time.Since(start).Seconds())
		b.logf("  %s %d: %.0f ms", row.ID, i+1, 1000*took[len(took)-1])
		if err == nil && i == starts-1 { // after the last start, leave it alone
			var memory, cpu float64
			if memory, cpu, err = idleCost(ctx, s, quiet); err == nil {
				anonymous, idle = append(anonymous, memory), append(idle, cpu)
			}
		}
		s.remove()
		if err != nil {
			return err
		}
	}
	row.value("starts", float64(starts), "")
	row.value("quiet period", quiet.Seconds(), "s")
	row.atMost("seconds to the first acknowledged send", median(took), 0.3, "s")
	row.atMost("idle anonymous memory", median(anonymous), 64, "MiB")
	row.atMost("idle CPU, of one core", median(idle), 1, "%")
	return nil
}

// firstSend creates a topic and sends one message to it, as soon as the broker listens.
func (b *bench) firstSend(ctx context.Context, s *broker) error {
	if err := s.waitReady(ctx); err != nil {
		return err
	}
	if err := s.createTopic(ctx, "first", sendQueues, adminv1.AckMode_ACK_MODE_DURABLE); err != nil {
		return err
	}
	return sendOne(ctx, s, "first")
}

// sendOne sends one message over a connection of its own.
func sendOne(ctx context.Context, s *broker, topic string) error {
	c, err := dial(s.addr, 1)
	if err != nil {
		return err
	}
	defer c.close()
	request, err := newSendRequest(topic, 1, plainBody)
	if err != nil {
		return err
	}
	_, err = request.send(callerContext(ctx, 0), c.conn(0), new(reply))
	return err
}

// idleCost returns the anonymous memory in MiB and the share of a core in percent of a broker without clients.
func idleCost(ctx context.Context, s *broker, quiet time.Duration) (memory, cpu float64, err error) {
	if err := pause(ctx, 2*time.Second); err != nil { // what a start leaves to do is done by then
		return 0, 0, err
	}
	before, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := pause(ctx, quiet); err != nil {
		return 0, 0, err
	}
	after, err := s.cpu()
	if err != nil {
		return 0, 0, err
	}
	elapsed := time.Since(start)
	bytes, err := anonymousMemory(s.cmd.Process.Pid)
	return float64(bytes) / (1 << 20), 100 * (after - before).Seconds() / elapsed.Seconds(), err
}
