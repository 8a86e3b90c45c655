package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
)

type testCase struct {
	name      string
	run       func(*scope) error
	onRequest bool // runs only if STRATA_CASES names it
}

var cases = []testCase{
	{name: "send-sync", run: sendSync},
	{name: "send-async", run: sendAsync},
	{name: "largest-body", run: largestBody},
	{name: "simple-receive-ack", run: simpleReceiveAck},
	{name: "simple-change-invisible", run: simpleChangeInvisible},
	{name: "simple-expiry-redelivery", run: simpleExpiryRedelivery},
	{name: "push-success", run: pushSuccess},
	{name: "push-retry", run: pushRetry},
	{name: "push-dead-letter", run: pushDeadLetter},
	{name: "filter-tag", run: filterTag},
	{name: "unknown-topic", run: unknownTopic},
	{name: "empty-poll", run: emptyPoll},
	{name: "shutdown", run: shutdown},
	{name: "idle", run: idle, onRequest: true},
}

// richMessage carries everything that a normal message can: each byte value, Chinese text, a tag, keys, properties.
func (s *scope) richMessage(mark string) *rmq.Message {
	body := []byte("你好，世界。𠮷 " + s.run + " ")
	for b := range 256 {
		body = append(body, byte(b))
	}
	m := s.message(s.topic(), mark, body)
	m.SetTag("订单-a")
	m.SetKeys("key-"+s.run, "键-二")
	m.AddProperty("城市", "上海市 浦东新区")
	m.AddProperty("empty-looking", " x ")
	return m
}

// tagOf prints an absent tag and an empty one alike: the wire does not tell them apart for every server.
func tagOf(tag *string) string {
	if tag == nil {
		return ""
	}
	return *tag
}

// same tells in what a received message differs from the one that was sent.
func same(sent *rmq.Message, id string, got *rmq.MessageView) error {
	var errs []error
	differs := func(what string, want, have any) {
		errs = append(errs, fmt.Errorf("%s: sent %q, received %q", what, want, have))
	}
	if got.GetMessageId() != id {
		differs("message id", id, got.GetMessageId())
	}
	if got.GetTopic() != sent.Topic {
		differs("topic", sent.Topic, got.GetTopic())
	}
	if !bytes.Equal(got.GetBody(), sent.Body) {
		errs = append(errs, fmt.Errorf("body: sent %d bytes, received %d other ones", len(sent.Body), len(got.GetBody())))
	}
	if tagOf(sent.GetTag()) != tagOf(got.GetTag()) {
		differs("tag", tagOf(sent.GetTag()), tagOf(got.GetTag()))
	}
	if !slices.Equal(got.GetKeys(), sent.GetKeys()) {
		differs("keys", sent.GetKeys(), got.GetKeys())
	}
	if !maps.Equal(got.GetProperties(), sent.GetProperties()) {
		differs("properties", sent.GetProperties(), got.GetProperties())
	}
	if got.GetDeliveryAttempt() != 1 {
		differs("delivery attempt", 1, got.GetDeliveryAttempt())
	}
	return errors.Join(errs...)
}

// roundTrip receives the message of the case's topic and compares it with the one sent.
func (s *scope) roundTrip(sent *rmq.Message, id string) (err error) {
	c, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	got, err := s.receive(c, 1, 30*time.Second, receiveLimit)
	if err != nil {
		return err
	}
	if err := ack(c, got...); err != nil {
		return err
	}
	return same(sent, id, got[0])
}

func sendSync(s *scope) error {
	m := s.richMessage("sync")
	id, err := s.send(m)
	if err != nil {
		return err
	}
	return s.roundTrip(m, id)
}

func sendAsync(s *scope) error {
	p, err := s.producer()
	if err != nil {
		return err
	}
	m := s.richMessage("async")
	type result struct {
		receipts []*rmq.SendReceipt
		err      error
	}
	done := make(chan result, 1)
	p.SendAsync(context.Background(), m, func(_ context.Context, r []*rmq.SendReceipt, err error) { done <- result{r, err} })
	select {
	case r := <-done:
		if err := errors.Join(r.err, p.GracefulStop()); err != nil {
			return err
		}
		if len(r.receipts) != 1 {
			return fmt.Errorf("%d receipts", len(r.receipts))
		}
		return s.roundTrip(m, r.receipts[0].MessageID)
	case <-time.After(receiveLimit):
		return errors.New("the callback was not called")
	}
}

// clientVersion is the version of the official client that this program was built with.
func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/apache/rocketmq-clients/golang/v5" {
				return m.Version
			}
		}
	}
	return ""
}

// largestBody: 4 MiB is what the server's Settings permit, and the client refuses one byte more by itself. Version
// 5.1.3 sends that much but receives frames of at most 4 MiB, so 4 KiB of it are left to the properties.
func largestBody(s *scope) error {
	const permitted = 4 << 20
	largest := permitted
	if clientVersion() == "v5.1.3" {
		largest = permitted - 4096
	}
	p, err := s.producer()
	if err != nil {
		return err
	}
	if _, err := sendWith(p, s.message(s.topic(), "too large", make([]byte, permitted+1))); err == nil {
		return errors.New("a body of 4 MiB + 1 was sent")
	} else if !strings.Contains(err.Error(), "exceeds the threshold") {
		return fmt.Errorf("a body of 4 MiB + 1: %w", err)
	}
	body := make([]byte, largest)
	for i := range body {
		body[i] = byte(i * 31 >> 3)
	}
	m := s.message(s.topic(), "largest", body)
	id, err := sendWith(p, m)
	if err := errors.Join(err, p.GracefulStop()); err != nil {
		return err
	}
	return s.roundTrip(m, id)
}

func simpleReceiveAck(s *scope) (err error) {
	p, err := s.producer()
	if err != nil {
		return err
	}
	var sent []string
	for i := range 5 {
		id, err := sendWith(p, s.message(s.topic(), fmt.Sprint(i), []byte("x")))
		if err != nil {
			return err
		}
		sent = append(sent, id)
	}
	if err := p.GracefulStop(); err != nil {
		return err
	}
	c, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	views, err := s.receive(c, len(sent), invisible, receiveLimit)
	if err != nil {
		return err
	}
	var got []string
	for _, v := range views {
		got = append(got, v.GetMessageId())
	}
	slices.Sort(got)
	slices.Sort(sent)
	if !slices.Equal(got, sent) {
		return fmt.Errorf("sent %v, received %v", sent, got)
	}
	if err := ack(c, views...); err != nil {
		return err
	}
	return s.nothing(c, invisible+2*time.Second)
}

func simpleChangeInvisible(s *scope) (err error) {
	if _, err := s.send(s.message(s.topic(), "change", []byte("x"))); err != nil {
		return err
	}
	c, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	first, err := s.receive(c, 1, 5*time.Minute, receiveLimit)
	if err != nil {
		return err
	}
	changed := time.Now()
	if err := c.ChangeInvisibleDuration(first[0], invisible); err != nil {
		return fmt.Errorf("change: %w", err)
	}
	return s.again(c, first[0], changed)
}

func simpleExpiryRedelivery(s *scope) (err error) {
	if _, err := s.send(s.message(s.topic(), "expiry", []byte("x"))); err != nil {
		return err
	}
	c, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	first, err := s.receive(c, 1, invisible, receiveLimit)
	if err != nil {
		return err
	}
	return s.again(c, first[0], time.Now())
}

// again expects first once more, as attempt 2 and not before its invisible time, which began before or at since.
func (s *scope) again(c rmq.SimpleConsumer, first *rmq.MessageView, since time.Time) error {
	if first.GetDeliveryAttempt() != 1 {
		return fmt.Errorf("first delivery has attempt %d", first.GetDeliveryAttempt())
	}
	second, err := s.receive(c, 1, 30*time.Second, receiveLimit)
	if err != nil {
		return fmt.Errorf("redelivery: %w", err)
	}
	waited := time.Since(since)
	switch v := second[0]; {
	case v.GetMessageId() != first.GetMessageId():
		return fmt.Errorf("message %s came instead of %s", v.GetMessageId(), first.GetMessageId())
	case v.GetDeliveryAttempt() != 2:
		return fmt.Errorf("redelivery has attempt %d, want 2", v.GetDeliveryAttempt())
	case waited < invisible-2*time.Second:
		return fmt.Errorf("redelivery after %s, invisible for %s", waited, invisible)
	}
	return ack(c, second[0])
}

func filterTag(s *scope) (err error) {
	p, err := s.producer()
	if err != nil {
		return err
	}
	var want []string
	for _, tag := range []string{"订单", "other", "pay", "", "订单"} {
		m := s.message(s.topic(), tag, []byte("x"))
		if tag != "" {
			m.SetTag(tag)
		}
		id, err := sendWith(p, m)
		if err != nil {
			return err
		}
		if tag == "订单" || tag == "pay" {
			want = append(want, id)
		}
	}
	if err := p.GracefulStop(); err != nil {
		return err
	}
	c, err := s.simple(s.topic(), s.group(), rmq.NewFilterExpression("订单 || pay"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	views, err := s.receive(c, len(want), 30*time.Second, receiveLimit)
	if err != nil {
		return err
	}
	var got []string
	for _, v := range views {
		got = append(got, v.GetMessageId())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("want %v, received %v", want, got)
	}
	if err := ack(c, views...); err != nil {
		return err
	}
	return s.nothing(c, time.Second)
}

func unknownTopic(s *scope) (err error) {
	p, err := s.producer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.GracefulStop()) }()
	_, err = sendWith(p, s.message(s.topic()+"-nowhere-"+s.run, "unknown", []byte("x")))
	if err == nil {
		return errors.New("a message to an unknown topic was sent")
	}
	if status, ok := rmq.AsErrRpcStatus(err); !ok || status.GetCode() != 40402 {
		return fmt.Errorf("want status 40402, got %w", err)
	}
	fmt.Fprintln(os.Stderr, "unknown-topic: the client says:", err)
	return nil
}

func emptyPoll(s *scope) (err error) {
	c, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.GracefulStop()) }()
	for range 2 {
		started := time.Now()
		views, err := c.Receive(context.Background(), 16, invisible)
		waited := time.Since(started)
		if status, ok := rmq.AsErrRpcStatus(err); !ok || status.GetCode() != 40401 {
			return fmt.Errorf("%d messages, %w; want code 40401", len(views), err)
		}
		if waited < s.poll*2/3 || waited > s.poll+requestTimeout {
			return fmt.Errorf("an empty poll of %s took %s", s.poll, waited)
		}
	}
	return nil
}

// shutdown opens one of each kind and closes them again. An idle push consumer waits for its pending receives, which
// take the long poll of the server and the request timeout.
func shutdown(s *scope) error {
	p, err := s.producer()
	if err != nil {
		return err
	}
	if _, err := sendWith(p, s.message(s.topic(), "shutdown", []byte("x"))); err != nil {
		return err
	}
	simple, err := s.simple(s.topic(), s.group(), rmq.SUB_ALL)
	if err != nil {
		return err
	}
	push, seen, err := s.push(func(*rmq.MessageView) rmq.ConsumerResult { return rmq.SUCCESS })
	if err != nil {
		return err
	}
	if _, err := next(seen); err != nil {
		return err
	}
	for _, c := range []struct {
		name  string
		stop  func() error
		bound time.Duration
	}{
		{"producer", p.GracefulStop, 5 * time.Second},
		{"simple consumer", simple.GracefulStop, 5 * time.Second},
		{"push consumer", push.GracefulStop, s.serverPoll + requestTimeout + 5*time.Second},
	} {
		started := time.Now()
		if err := c.stop(); err != nil {
			return fmt.Errorf("stop of the %s: %w", c.name, err)
		}
		if took := time.Since(started); took > c.bound {
			return fmt.Errorf("stop of the %s took %s, bound %s", c.name, took, c.bound)
		}
	}
	return nil
}

// idle leaves one client of each kind alone for STRATA_IDLE_SECONDS and expects all of them to work afterwards.
func idle(s *scope) (err error) {
	p, err := s.producer()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.GracefulStop()) }()
	simple, err := s.simple(s.topic(), s.group()+"-simple", rmq.SUB_ALL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, simple.GracefulStop()) }()
	push, seen, err := s.push(func(*rmq.MessageView) rmq.ConsumerResult { return rmq.SUCCESS })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, push.GracefulStop()) }()
	time.Sleep(seconds("STRATA_IDLE_SECONDS"))
	if _, err := sendWith(p, s.message(s.topic(), "idle", []byte("x"))); err != nil {
		return err
	}
	if _, err := next(seen); err != nil {
		return err
	}
	views, err := s.receive(simple, 1, invisible, receiveLimit)
	if err != nil {
		return err
	}
	return ack(simple, views...)
}
