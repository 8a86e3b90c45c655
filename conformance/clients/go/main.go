// Command client drives the official Go client through the conformance cases.
//
// It takes everything from the environment (see the README of the conformance module), runs the cases one after
// the other, prints one line per case and leaves with status 1 if one of them failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	rmq "github.com/apache/rocketmq-clients/golang/v5"
	"github.com/apache/rocketmq-clients/golang/v5/credentials"
)

// Env is what the driver tells a client program.
type Env struct {
	endpoint   string        // host:port of the broker
	prefix     string        // topics and groups are called prefix-case
	run        string        // marks the messages of this run; others are acknowledged and ignored
	poll       time.Duration // the long poll that a simple consumer asks for
	serverPoll time.Duration // the long poll that the server tells push consumers: it bounds how long they take to close
}

// Limits of the waiting. A receive loop of 30 s is far above what any broker needs for a message that is there.
const (
	receiveLimit    = 30 * time.Second
	pushLimit       = 60 * time.Second
	deadLetterLimit = 120 * time.Second
	requestTimeout  = 3 * time.Second
	invisible       = 10 * time.Second // the shortest that the protocol allows
)

func main() {
	env := Env{
		endpoint:   mustEnv("STRATA_ENDPOINT"),
		prefix:     mustEnv("STRATA_TOPIC_PREFIX"),
		run:        mustEnv("STRATA_RUN"),
		poll:       seconds("STRATA_POLL_SECONDS"),
		serverPoll: seconds("STRATA_SERVER_POLL_SECONDS"),
	}
	rmq.EnableSsl = os.Getenv("STRATA_TLS") == "1"
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(os.Getenv("STRATA_CASES"), ",") {
		if name != "" {
			wanted[name] = true
		}
	}

	failed := false
	for _, c := range cases {
		if len(wanted) > 0 && !wanted[c.name] || len(wanted) == 0 && c.onRequest {
			continue
		}
		started := time.Now()
		if err := runCase(env, c); err != nil {
			failed = true
			fmt.Fprintf(os.Stdout, "FAIL %s: %s\n", c.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Fprintf(os.Stdout, "PASS %s\n", c.name)
		}
		fmt.Fprintf(os.Stderr, "%s took %s\n", c.name, time.Since(started).Round(100*time.Millisecond))
	}
	if failed {
		os.Exit(1)
	}
}

func runCase(env Env, c testCase) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.run(&scope{Env: env, name: c.name})
}

func mustEnv(name string) string {
	v := os.Getenv(name)
	if v == "" {
		fmt.Fprintln(os.Stderr, name+" is not set")
		os.Exit(2)
	}
	return v
}

// seconds reads a number of seconds, 5 if there is none.
func seconds(name string) time.Duration {
	v := os.Getenv(name)
	if v == "" {
		return 5 * time.Second
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		fmt.Fprintln(os.Stderr, name+" is not a number")
		os.Exit(2)
	}
	return time.Duration(n) * time.Second
}

// scope is one case at work: it names the topic and the group after the case.
type scope struct {
	Env
	name string
}

func (s *scope) topic() string { return s.prefix + "-" + s.name }
func (s *scope) group() string { return s.prefix + "-" + s.name }

func (s *scope) config(group string) *rmq.Config {
	return &rmq.Config{Endpoint: s.endpoint, ConsumerGroup: group, Credentials: &credentials.SessionCredentials{}}
}

// message has the marks of the run and of the case, so that a broker that is not clean does no harm.
func (s *scope) message(topic, mark string, body []byte) *rmq.Message {
	m := &rmq.Message{Topic: topic, Body: body}
	m.AddProperty("run", s.run)
	m.AddProperty("mark", mark)
	return m
}

func (s *scope) producer() (rmq.Producer, error) {
	p, err := rmq.NewProducer(s.config(""), rmq.WithTopics(s.topic()))
	if err != nil {
		return nil, err
	}
	return p, p.Start()
}

// send opens a producer for one message and closes it again.
func (s *scope) send(m *rmq.Message) (string, error) {
	p, err := s.producer()
	if err != nil {
		return "", err
	}
	id, err := sendWith(p, m)
	return id, errors.Join(err, p.GracefulStop())
}

func sendWith(p rmq.Producer, m *rmq.Message) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	receipts, err := p.Send(ctx, m)
	if err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	if len(receipts) != 1 || receipts[0].MessageID == "" {
		return "", fmt.Errorf("send: %d receipts, want one with an id", len(receipts))
	}
	return receipts[0].MessageID, nil
}

func (s *scope) simple(topic, group string, filter *rmq.FilterExpression) (rmq.SimpleConsumer, error) {
	c, err := rmq.NewSimpleConsumer(s.config(group), rmq.WithSimpleAwaitDuration(s.poll),
		rmq.WithSimpleSubscriptionExpressions(map[string]*rmq.FilterExpression{topic: filter}))
	if err != nil {
		return nil, err
	}
	return c, c.Start()
}

// poll receives once. This client reports an empty poll as an error of code MESSAGE_NOT_FOUND.
func receiveOnce(c rmq.SimpleConsumer, invisible time.Duration) ([]*rmq.MessageView, error) {
	views, err := c.Receive(context.Background(), 16, invisible)
	if status, ok := rmq.AsErrRpcStatus(err); ok && status.GetCode() == 40401 {
		return nil, nil
	}
	return views, err
}

// receive polls until there are n messages of this run, or fails when the limit is over.
func (s *scope) receive(c rmq.SimpleConsumer, n int, invisible, limit time.Duration) ([]*rmq.MessageView, error) {
	var mine []*rmq.MessageView
	for end := time.Now().Add(limit); len(mine) < n; {
		if time.Now().After(end) {
			return nil, fmt.Errorf("%d of %d messages within %s", len(mine), n, limit)
		}
		views, err := receiveOnce(c, invisible)
		if err != nil {
			return nil, fmt.Errorf("receive: %w", err)
		}
		own, err := s.own(c, views)
		if err != nil {
			return nil, err
		}
		mine = append(mine, own...)
	}
	return mine, nil
}

// own keeps the messages of this run and acknowledges the others.
func (s *scope) own(c rmq.SimpleConsumer, views []*rmq.MessageView) ([]*rmq.MessageView, error) {
	var mine []*rmq.MessageView
	for _, v := range views {
		if v.GetProperties()["run"] == s.run {
			mine = append(mine, v)
		} else if err := c.Ack(context.Background(), v); err != nil {
			return nil, fmt.Errorf("ack of a stranger: %w", err)
		}
	}
	return mine, nil
}

// nothing polls for d and fails if a message of this run comes.
func (s *scope) nothing(c rmq.SimpleConsumer, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		views, err := receiveOnce(c, invisible)
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
		own, err := s.own(c, views)
		if err != nil {
			return err
		}
		if len(own) > 0 {
			return fmt.Errorf("message %s came again, attempt %d", own[0].GetMessageId(), own[0].GetDeliveryAttempt())
		}
	}
	return nil
}

func ack(c rmq.SimpleConsumer, views ...*rmq.MessageView) error {
	for _, v := range views {
		if err := c.Ack(context.Background(), v); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	return nil
}
