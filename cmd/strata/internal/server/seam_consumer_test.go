package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// consume lets a new group receive a topic from its beginning on, by two consumers, with a tag or "*", until it has
// all that had been recorded at its begin: each message once, at its first attempt, and no message without the tag.
func (r *reader) consume(ctx context.Context, group, topic, tag string) error {
	return r.consumeRest(ctx, group, topic, tag, nil)
}

// consumeRest is consume for a group that has got some messages before, which must not come again.
func (r *reader) consumeRest(ctx context.Context, group, topic, tag string, before map[*sent]bool) error {
	var mu sync.Mutex
	got, want := map[*sent]bool{}, map[*sent]bool{}
	maps.Copy(got, before)
	for _, m := range r.recordedOf(topic) {
		if (tag == "*" || m.tag == tag) && !got[m] {
			want[m] = true
		}
	}
	consumers, ctx := errgroup.WithContext(ctx)
	for i := range 2 {
		batch := int32(1 + r.rng.IntN(32))
		consumers.Go(func() error {
			for ctx.Err() == nil {
				mu.Lock()
				left := len(want)
				mu.Unlock()
				if left == 0 {
					return nil
				}
				before := r.rig.seams()
				messages, err := receiveAcked(ctx, r.rig.client, fmt.Sprintf("%s-%d", group, i), group, topic, tag, batch, 500*time.Millisecond)
				if err != nil {
					return err
				}
				batch, err := r.take(&mu, got, want, messages, tag)
				if err != nil {
					return fmt.Errorf("group %s: %w", group, err)
				}
				r.tally.note(r.pastSent, "receive", before, batch)
			}
			return nil
		})
	}
	if err := consumers.Wait(); err != nil {
		return err
	}
	if ctx.Err() != nil && len(want) > 0 {
		return fmt.Errorf("group %s: %d messages had not come when the test ended: %w", group, len(want), context.Cause(ctx))
	}
	return nil
}

// take checks received messages and moves them from want to got.
func (r *reader) take(mu *sync.Mutex, got, want map[*sent]bool, messages []*pb.Message, tag string) ([]*sent, error) {
	var batch []*sent
	for _, wire := range messages {
		m, err := r.check(ofWire(wire))
		if err != nil {
			return nil, err
		}
		if tag != "*" && m.tag != tag {
			return nil, fmt.Errorf("%s has tag %q", m.id, m.tag)
		}
		if n := wire.GetSystemProperties().GetDeliveryAttempt(); n != 1 {
			return nil, fmt.Errorf("%s came at attempt %d", m.id, n)
		}
		mu.Lock()
		twice := got[m]
		got[m] = true
		delete(want, m)
		mu.Unlock()
		if twice {
			return nil, fmt.Errorf("%s came twice", m.id)
		}
		batch = append(batch, m)
	}
	return batch, nil
}

// receiveAcked receives once and acknowledges all that came.
func receiveAcked(ctx context.Context, client pb.MessagingServiceClient, name, group, topic, tag string, batch int32, poll time.Duration) ([]*pb.Message, error) {
	status, messages, err := receive(ctx, client, name, group, topic, tag, batch, poll)
	if err != nil {
		return nil, err
	}
	if c := status.GetCode(); c != pb.Code_OK && c != pb.Code_MESSAGE_NOT_FOUND {
		return nil, fmt.Errorf("receive for %s: %v", group, status)
	}
	if len(messages) == 0 {
		return nil, nil
	}
	ack := &pb.AckMessageRequest{Group: &pb.Resource{Name: group}, Topic: &pb.Resource{Name: topic}}
	for _, m := range messages {
		p := m.GetSystemProperties()
		ack.Entries = append(ack.Entries, &pb.AckMessageEntry{MessageId: p.GetMessageId(), ReceiptHandle: p.GetReceiptHandle()})
	}
	acked, err := client.AckMessage(as(ctx, name), ack)
	if err != nil || acked.GetStatus().GetCode() != pb.Code_OK {
		return nil, fmt.Errorf("ack of %d messages for %s: %v, %w", len(messages), group, acked.GetStatus(), err)
	}
	return messages, nil
}

// receive asks once for messages and returns the status and what came.
func receive(ctx context.Context, client pb.MessagingServiceClient, name, group, topic, tag string, batch int32, poll time.Duration) (*pb.Status, []*pb.Message, error) {
	stream, err := client.ReceiveMessage(as(ctx, name), &pb.ReceiveMessageRequest{
		Group: &pb.Resource{Name: group}, MessageQueue: &pb.MessageQueue{Topic: &pb.Resource{Name: topic}},
		FilterExpression: &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: tag},
		BatchSize:        batch, InvisibleDuration: durationpb.New(time.Hour), LongPollingTimeout: durationpb.New(poll),
	})
	if err != nil {
		return nil, nil, err
	}
	var status *pb.Status
	var messages []*pb.Message
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status, messages, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if s := frame.GetStatus(); s != nil {
			status = s
		}
		if m := frame.GetMessage(); m != nil {
			messages = append(messages, m)
		}
	}
}
