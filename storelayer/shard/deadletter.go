package shard

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stratamq/stratamq/internal/failpoint"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/group"
)

var (
	beforeDeadLetter = failpoint.Register("shard/before-dead-letter")
	afterDeadLetter  = failpoint.Register("shard/after-dead-letter")
)

// deadLetterRetry is how long the dead-letterer waits after a message that it could not move.
const deadLetterRetry = time.Second

// exhaustedPerGroup bounds how many messages of a group one round moves.
const exhaustedPerGroup = 256

// unreadablePerGroup bounds how many messages of a group that cannot be read one round goes past: one that is
// damaged must not hold those behind it, and a bucket that is away must not be asked for all of them.
const unreadablePerGroup = 16

// errUnreadable says that the message itself is why it cannot be moved.
var errUnreadable = errors.New("message cannot be copied to the dead-letter queue")

// deadLetterer moves messages that have had their last attempt, one after the other, in the background. What it
// cannot move stays unsettled and is not leased: nothing is lost while the bucket or the metadata are away.
type deadLetterer struct {
	shard *Shard
	woken chan struct{}
}

func newDeadLetterer(s *Shard) *deadLetterer {
	return &deadLetterer{shard: s, woken: make(chan struct{}, 1)}
}

// wake asks for a round soon.
func (d *deadLetterer) wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *deadLetterer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.woken:
		}
		if !d.round(ctx) {
			timer := d.shard.opts.Clock.NewTimer(deadLetterRetry)
			select {
			case <-ctx.Done():
			case <-timer.C():
				d.wake()
			}
			timer.Stop()
		}
	}
}

// round moves what is exhausted now and reports whether all of it could be moved.
func (d *deadLetterer) round(ctx context.Context) bool {
	all := true
	for _, p := range d.shard.allProgress() {
		moved := d.moveOf(ctx, p)
		if ctx.Err() != nil {
			return true
		}
		all = all && moved
	}
	return all
}

// moveOf moves what is exhausted of one group and reports whether all of it could be moved.
func (d *deadLetterer) moveOf(ctx context.Context, p *progress) bool {
	s, unreadable := d.shard, 0
	p.mu.Lock()
	exhausted := p.mu.Exhausted(s.moment(), s.maxAttempts(p), exhaustedPerGroup)
	p.mu.Unlock()
	for _, e := range exhausted {
		err := s.moveToDeadLetters(ctx, p, e.Queue, e.Offset, e.Attempt, func(dead message.Queue) group.DeadLetterOutcome {
			step := p.mu.DeadLetterExhausted(s.moment(), e, dead)
			return group.DeadLetterOutcome{Step: step, Copy: !step.Empty()}
		})
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		if s.opts.Events.DeadLetter != nil {
			s.opts.Events.DeadLetter(p.key.Name, e.Queue, e.Offset, err)
		}
		// The cause of any other error is the cause of those behind it, too.
		if unreadable++; !errors.Is(err, errUnreadable) || unreadable == unreadablePerGroup {
			return false
		}
	}
	if len(exhausted) == exhaustedPerGroup {
		d.wake()
	}
	return unreadable == 0
}

// collectExhausted wakes the dead-letterer if a message ran out of attempts while nobody asked for it.
func (s *Shard) collectExhausted() {
	for _, p := range s.allProgress() {
		p.mu.Lock()
		some := p.mu.Exhausted(s.moment(), s.maxAttempts(p), 1)
		p.mu.Unlock()
		if len(some) > 0 {
			s.dead.wake()
			return
		}
	}
}

// maxAttempts is what the group's last lease said; the default if it said nothing, or there was none since the start.
func (s *Shard) maxAttempts(p *progress) int {
	if n := p.maxAttempts.Load(); n > 0 {
		return int(n)
	}
	return max(s.opts.MaxAttempts, 1)
}

// moveToDeadLetters appends a copy of a message to the dead-letter queue of its group and, in the same frame,
// the record that settles it. Settle is called under the group's lock.
func (s *Shard) moveToDeadLetters(
	ctx context.Context, p *progress, q message.Queue, offset message.Offset, attempt uint16,
	settle func(dead message.Queue) group.DeadLetterOutcome,
) error {
	if s.disk.low() {
		return s.disk.err()
	}
	topic, dead, err := s.opts.DeadLetters.DeadLetterQueue(ctx, p.key.Name)
	if err != nil {
		return errDeadLetterTopic(p.key.Name, err)
	}
	if s.topicGone(dead.Topic) {
		return errDeadLetterTopic(p.key.Name, storelayer.ErrQueueNotFound)
	}
	stored, err := s.readAny(ctx, q, offset)
	if err != nil {
		return fmt.Errorf("%w: read message %d of queue %s: %w", errUnreadable, offset, q, err)
	}
	dlq, err := deadLetterCopy(stored, topic, dead, attempt)
	if err != nil {
		return fmt.Errorf("%w: message %d of queue %s: %w", errUnreadable, offset, q, err)
	}
	beforeDeadLetter.Hit()
	done := newOutcome()
	p.mu.Lock()
	out := settle(dead)
	if err = out.Err; err == nil && !out.Empty() {
		if err = s.submitDeadLetter(out, dlq, done.set); err != nil {
			p.mu.Abort(out.ID)
		}
	}
	p.mu.Unlock()
	if err != nil || out.Empty() {
		return err
	}
	if err := done.wait(ctx); err != nil {
		return err
	}
	afterDeadLetter.Hit()
	if s.opts.Events.DeadLettered != nil {
		s.opts.Events.DeadLettered(p.key.Name, q, offset)
	}
	return nil
}

// submitDeadLetter puts copy and record into one frame: neither can be there without the other.
func (s *Shard) submitDeadLetter(out group.DeadLetterOutcome, dlq message.Message, answer func(error)) error {
	if !out.Copy {
		return s.submit(out.Step, nil, answer)
	}
	if bugSettleBeforeDeadLetter {
		return s.submit(out.Step, nil, func(err error) {
			beforeDeadLetter.Hit()
			if err == nil {
				err = s.submit(group.Step{}, []message.Message{dlq}, answer)
			}
			if err != nil {
				answer(err)
			}
		})
	}
	return s.submit(out.Step, []message.Message{dlq}, answer)
}

// deadLetterCopy makes the message that goes to the dead-letter queue. It keeps the producer's properties and says
// where it came from, under the names that RocketMQ's tools know.
func deadLetterCopy(stored []byte, topic string, dead message.Queue, attempt uint16) (message.Message, error) {
	m, err := message.DecodeStored(stored)
	if err != nil {
		return message.Message{}, err
	}
	props, err := deadLetterProperties(&m, attempt)
	if err != nil {
		return message.Message{}, err
	}
	plain := m.Properties
	m.Topic, m.Queue, m.Properties = topic, dead, props
	m.ReconsumeTimes = int32(attempt)
	if err := m.Check(); err != nil {
		// The properties have no room for the origin: better a message without it than none.
		m.Properties = plain
		if err := m.Check(); err != nil {
			return message.Message{}, err
		}
	}
	return m, nil
}

// deadLetterProperties are the producer's properties and where the message came from.
func deadLetterProperties(m *message.Message, attempt uint16) ([]byte, error) {
	id, _ := message.Property(m.Properties, message.PropertyMessageID)
	props := make([]byte, 0, len(m.Properties)+256)
	for key, value := range message.EachProperty(m.Properties) {
		switch string(key) {
		case message.PropertyDeadLetterTopic, message.PropertyDeadLetterID, message.PropertyRetryTopic,
			message.PropertyOriginMessageID, message.PropertyReconsumeTimes:
			continue
		}
		var err error
		if props, err = message.AppendProperty(props, key, value); err != nil {
			return nil, err
		}
	}
	for _, origin := range []struct{ key, value string }{
		{message.PropertyDeadLetterTopic, m.Topic},
		{message.PropertyDeadLetterID, string(id)},
		{message.PropertyRetryTopic, m.Topic},
		{message.PropertyOriginMessageID, string(id)},
		{message.PropertyReconsumeTimes, strconv.Itoa(int(attempt))},
	} {
		var err error
		if props, err = message.AppendProperty(props, origin.key, origin.value); err != nil {
			return nil, err
		}
	}
	return props, nil
}
