package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

// delivery is one call of a push consumer's listener.
type delivery struct {
	id      string
	attempt int32
	body    string
	at      time.Time
}

// push starts a push consumer that answers as verdict says and reports the deliveries of this run.
func (s *scope) push(verdict func(*rmq.MessageView) rmq.ConsumerResult) (rmq.PushConsumer, <-chan delivery, error) {
	seen := make(chan delivery, 64)
	c, err := rmq.NewPushConsumer(s.config(s.group()), rmq.WithPushAwaitDuration(s.poll),
		rmq.WithPushSubscriptionExpressions(map[string]*rmq.FilterExpression{s.topic(): rmq.SUB_ALL}),
		rmq.WithPushMessageListener(&rmq.FuncMessageListener{Consume: func(v *rmq.MessageView) rmq.ConsumerResult {
			if v.GetProperties()["run"] != s.run {
				return rmq.SUCCESS
			}
			seen <- delivery{v.GetMessageId(), v.GetDeliveryAttempt(), string(v.GetBody()), time.Now()}
			return verdict(v)
		}}))
	if err != nil {
		return nil, nil, err
	}
	return c, seen, c.Start()
}

func next(seen <-chan delivery) (delivery, error) {
	select {
	case d := <-seen:
		return d, nil
	case <-time.After(pushLimit):
		return delivery{}, fmt.Errorf("the listener was not called within %s", pushLimit)
	}
}

func pushSuccess(s *scope) (err error) {
	c, seen, err := s.push(func(*rmq.MessageView) rmq.ConsumerResult { return rmq.SUCCESS })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	p, err := s.producer()
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for i := range 10 {
		id, err := sendWith(p, s.message(s.topic(), fmt.Sprint(i), fmt.Appendf(nil, "消息 %d", i)))
		if err != nil {
			return err
		}
		want[id] = true
	}
	if err := p.GracefulStop(); err != nil {
		return err
	}
	for len(want) > 0 {
		d, err := next(seen)
		if err != nil {
			return fmt.Errorf("%w; %d of 10 missing", err, len(want))
		}
		if !want[d.id] || d.attempt != 1 || !strings.HasPrefix(d.body, "消息 ") {
			return fmt.Errorf("unexpected delivery %+v", d)
		}
		delete(want, d.id)
	}
	return nil
}

func pushRetry(s *scope) (err error) {
	c, seen, err := s.push(func(v *rmq.MessageView) rmq.ConsumerResult {
		if v.GetDeliveryAttempt() == 1 {
			return rmq.FAILURE
		}
		return rmq.SUCCESS
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	id, err := s.send(s.message(s.topic(), "retry", []byte("x")))
	if err != nil {
		return err
	}
	for attempt := int32(1); attempt <= 2; attempt++ {
		d, err := next(seen)
		if err != nil {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		}
		if d.id != id || d.attempt != attempt {
			return fmt.Errorf("unexpected delivery %+v, want attempt %d of %s", d, attempt, id)
		}
	}
	return nil
}

// pushDeadLetter: the group allows two attempts; both fail and the message is then in the dead-letter topic.
func pushDeadLetter(s *scope) (err error) {
	c, seen, err := s.push(func(*rmq.MessageView) rmq.ConsumerResult { return rmq.FAILURE })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	m := s.richMessage("dead")
	id, err := s.send(m)
	if err != nil {
		return err
	}
	for attempt := int32(1); attempt <= 2; attempt++ {
		if d, err := next(seen); err != nil {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		} else if d.id != id || d.attempt != attempt {
			return fmt.Errorf("unexpected delivery %+v, want attempt %d of %s", d, attempt, id)
		}
	}
	v, err := s.deadLetter()
	if err != nil {
		return err
	}
	if !bytes.Equal(v.GetBody(), m.Body) || v.GetProperties()["城市"] != m.GetProperties()["城市"] ||
		tagOf(v.GetTag()) != tagOf(m.GetTag()) || !slices.Equal(v.GetKeys(), m.GetKeys()) {
		return fmt.Errorf("the dead letter is not the message: body of %d bytes, tag %v, keys %q, properties %q",
			len(v.GetBody()), tagOf(v.GetTag()), v.GetKeys(), v.GetProperties())
	}
	select {
	case d := <-seen:
		return fmt.Errorf("delivery %+v after the last attempt", d)
	default:
		return nil
	}
}

// deadLetter reads the dead-letter topic of the case's group. The topic may come into being with its first message,
// so a reader that cannot start yet is made again.
func (s *scope) deadLetter() (*rmq.MessageView, error) {
	end := time.Now().Add(deadLetterLimit)
	for {
		v, err := s.readDeadLetter(time.Until(end))
		if err == nil || time.Now().After(end) {
			return v, err
		}
		fmt.Fprintln(os.Stderr, "reader of the dead letters:", err)
		time.Sleep(time.Second)
	}
}

func (s *scope) readDeadLetter(limit time.Duration) (_ *rmq.MessageView, err error) {
	c, err := s.simple("%DLQ%"+s.group(), s.prefix+"-dead-letter-reader", rmq.SUB_ALL)
	if err != nil {
		return nil, fmt.Errorf("reader of the dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	dead, err := s.receive(c, 1, 30*time.Second, limit)
	if err != nil {
		return nil, fmt.Errorf("dead letter: %w", err)
	}
	return dead[0], ack(c, dead...)
}
