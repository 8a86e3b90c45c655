package main

import (
	"context"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
)

const (
	sendCallers = 64
	sendQueues  = 8
)

// hotFlags keep seals out of a measurement of the log: a segment is larger than what a row sends.
var hotFlags = []string{"--segment-size", "4GiB", "--seal-max-age", "0"}

// sendTo is a load of sends of count messages each.
func sendTo(c *client, topic string, count int) load {
	return load{sendCallers, sender(c, topic, count, plainBody)}
}

// rowSend compares single sends with the echo, and durable ones with those that do not wait for the disk.
func (b *bench) rowSend(ctx context.Context, row *Row) error {
	s, c, err := b.sendTarget(ctx, row.ID)
	if err != nil {
		return err
	}
	defer s.remove()
	defer c.close()
	sides := []contender{
		b.echo.contender(),
		{name: "durable", cpu: s.cpu, load: same(sendTo(c, "durable", 1)), pprof: s.http},
		{name: "local", cpu: s.cpu, load: same(sendTo(c, "local", 1)), pprof: s.http},
	}
	result, err := b.hold(ctx, row.ID, sides...)
	if err != nil {
		return err
	}
	result.report(row, sides...)
	row.atLeast("rate / echo", result.rateRatio(0), 0.6, "x")
	row.atMost("server CPU per message / echo", result.cpuRatio(0), 1.6, "x")
	cost := result.median(func(w []window) float64 { return 100 * (1 - w[1].perSecond()/w[2].perSecond()) })
	row.atMost("what durable costs against local", cost, 15, "%")
	return nil
}

// rowBatch compares sends of 16 messages with the echo.
func (b *bench) rowBatch(ctx context.Context, row *Row) error {
	s, c, err := b.sendTarget(ctx, row.ID)
	if err != nil {
		return err
	}
	defer s.remove()
	defer c.close()
	sides := []contender{
		b.echo.contender(),
		{name: "batch", cpu: s.cpu, load: same(sendTo(c, "durable", 16)), pprof: s.http},
	}
	result, err := b.hold(ctx, row.ID, sides...)
	if err != nil {
		return err
	}
	result.report(row, sides...)
	row.atLeast("messages / echo", result.rateRatio(0), 4, "x")
	row.atMost("server CPU per message / echo", result.cpuRatio(0), 0.2, "x")
	return nil
}

// sendTarget is a broker with a durable and a local topic.
func (b *bench) sendTarget(ctx context.Context, name string) (*broker, *client, error) {
	s, err := b.startBroker(ctx, name, nil, hotFlags...)
	if err != nil {
		return nil, nil, err
	}
	c, err := func() (*client, error) {
		if err := s.createTopic(ctx, "durable", sendQueues, adminv1.AckMode_ACK_MODE_DURABLE); err != nil {
			return nil, err
		}
		if err := s.createTopic(ctx, "local", sendQueues, adminv1.AckMode_ACK_MODE_LOCAL); err != nil {
			return nil, err
		}
		return dial(s.addr, b.settings.connections)
	}()
	if err != nil {
		s.remove()
		return nil, nil, err
	}
	return s, c, nil
}
