package load

import (
	"context"
	"fmt"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// readerGroup is the group that the checks pull as. It commits nothing.
const readerGroup = "reader"

// deadPrefix begins the name of a group's dead-letter topic.
const deadPrefix = "%DLQ%"

// Result is what a check did.
type Result struct {
	Read int64 // messages
	Lost int64
}

// Check checks what a restart kept, before the next life: all that the life before may have added, whether
// committed offsets and floors are what was answered, that offsets outside a queue are errors, and samples of
// older messages. With everything it reads every message there is, whatever tier holds it. Its error says that
// the broker did not answer; broken promises go to the ledger.
func (l *Load) Check(ctx context.Context, address string, rng *rand.Rand, everything bool) (Result, error) {
	c, err := Dial(address, "reader")
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = c.Close() }() // nothing is under way
	floors, err := l.floors(ctx, c)
	if err != nil {
		return Result{}, err
	}
	before := l.ledger.Totals().Reads
	began, from := l.ledger.Now(), l.lifeFrom
	if everything {
		clear(l.verified)
		from = 0
	}
	l.ledger.BeginPass()
	if err := l.readQueues(ctx, c, rng); err != nil {
		return Result{}, err
	}
	lost := l.ledger.EndPass(began, from)
	l.lifeFrom = l.ledger.Sends()
	if everything {
		l.ledger.CheckOrder()
	}
	for _, g := range l.config.Groups {
		if err := l.readDeadLetters(ctx, c, g.Name); err != nil {
			return Result{}, err
		}
	}
	for _, f := range floors {
		l.ledger.FloorIs(f.group, f.topic, f.queue, f.offset)
	}
	return Result{Read: l.ledger.Totals().Reads - before, Lost: lost}, l.checkOutside(ctx, c)
}

// readQueues reads each queue from where it has been checked up to, and samples of what lies below.
func (l *Load) readQueues(ctx context.Context, c *Client, rng *rand.Rand) error {
	type done struct {
		key queueKey
		end int64
	}
	results := make(chan done, len(l.config.Topics)*int(l.config.Queues))
	group, ctx := errgroup.WithContext(ctx)
	for _, topic := range l.config.Topics {
		for q := range l.config.Queues {
			key := queueKey{topic, q}
			from := l.verified[key]
			sample := rng.Int64N(from + 1)
			group.Go(func() error {
				end, err := l.readQueue(ctx, c, key, from)
				if err != nil {
					return err
				}
				results <- done{key, end}
				if sample == from {
					return nil
				}
				messages, _, err := c.Pull(ctx, readerGroup, topic, q, sample, 0)
				for _, m := range messages {
					l.ledger.Read(seen(topic, m))
				}
				if err != nil {
					return fmt.Errorf("read %s/%d from %d on: %w", topic, q, sample, err)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	close(results)
	for d := range results {
		l.verified[d.key] = d.end
	}
	return nil
}

// readQueue reads a queue from an offset to its end.
func (l *Load) readQueue(ctx context.Context, c *Client, key queueKey, from int64) (end int64, err error) {
	if end, err = c.End(ctx, key.topic, key.queue); err != nil {
		return 0, fmt.Errorf("end of %s/%d: %w", key.topic, key.queue, err)
	}
	var offsets []int64
	for next := from; next < end; {
		messages, to, err := c.Pull(ctx, readerGroup, key.topic, key.queue, next, 0)
		if err != nil {
			return 0, fmt.Errorf("read %s/%d from %d on: %w", key.topic, key.queue, next, err)
		}
		for _, m := range messages {
			s := seen(key.topic, m)
			l.ledger.Read(s)
			offsets = append(offsets, s.Place.Offset)
		}
		if to <= next {
			break // Range says that the rest is missing
		}
		next = to
	}
	if from > end {
		l.ledger.Report("I3", "%s/%d ended at %d and now ends at %d", key.topic, key.queue, from, end)
		return end, nil
	}
	l.ledger.Range(key.topic, key.queue, from, end, offsets)
	return end, nil
}

// readDeadLetters reads what is new in the dead-letter queue of a group, if it has one yet.
func (l *Load) readDeadLetters(ctx context.Context, c *Client, group string) error {
	key := queueKey{deadPrefix + group, 0}
	end, err := c.End(ctx, key.topic, key.queue)
	if CodeOf(err) == pb.Code_TOPIC_NOT_FOUND {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end of %s: %w", key.topic, err)
	}
	from := l.verified[key]
	var offsets []int64
	for next := from; next < end; {
		messages, to, err := c.Pull(ctx, readerGroup, key.topic, key.queue, next, 0)
		if err != nil {
			return fmt.Errorf("read %s from %d on: %w", key.topic, next, err)
		}
		for _, m := range messages {
			s := seen(key.topic, m)
			l.ledger.DeadLetter(group, s)
			offsets = append(offsets, s.Place.Offset)
		}
		if to <= next {
			break
		}
		next = to
	}
	l.ledger.Range(key.topic, key.queue, from, end, offsets)
	l.verified[key] = end
	return nil
}

type floor struct {
	group, topic string
	queue        int32
	offset       int64
}

// floors asks for the committed offset of every group in every queue, and checks those of the group that pulls.
func (l *Load) floors(ctx context.Context, c *Client) ([]floor, error) {
	var out []floor
	for q := range l.config.Queues {
		for _, g := range l.config.Groups {
			at, err := c.Committed(ctx, g.Name, g.Topic, q)
			if err != nil {
				return nil, fmt.Errorf("offset of %s in %s/%d: %w", g.Name, g.Topic, q, err)
			}
			if at >= 0 {
				out = append(out, floor{g.Name, g.Topic, q, at})
			}
		}
		at, err := c.Committed(ctx, l.config.PullGroup, l.config.Topics[0], q)
		if err != nil {
			return nil, fmt.Errorf("offset of %s: %w", l.config.PullGroup, err)
		}
		l.ledger.CommittedIs(l.config.PullGroup, l.config.Topics[0], q, at)
	}
	return out, nil
}

// checkOutside checks that offsets that a queue does not have are errors, never taken for 0.
func (l *Load) checkOutside(ctx context.Context, c *Client) error {
	topic := l.config.Topics[0]
	end, err := c.End(ctx, topic, 0)
	if err != nil {
		return err
	}
	for _, offset := range []int64{end + 1000, -5} {
		messages, _, err := c.Pull(ctx, readerGroup, topic, 0, offset, 0)
		switch CodeOf(err) {
		case pb.Code_ILLEGAL_OFFSET:
		case 0:
			return err
		default:
			l.ledger.Report("I20", "a pull of offset %d of %s/0, which ends at %d, is answered with %d messages and %v", offset, topic, end, len(messages), err)
		}
	}
	at, err := c.Committed(ctx, readerGroup, topic, 0)
	if err != nil {
		return err
	}
	if at != -1 {
		l.ledger.Report("I20", "%s has committed nothing in %s/0, the broker says %d", readerGroup, topic, at)
	}
	return nil
}
