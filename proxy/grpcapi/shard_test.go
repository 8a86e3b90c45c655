package grpcapi

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer/shard"
)

// realShard is the store's own shard on a disk in memory.
type realShard struct {
	*shard.Shard
	stop func()
}

// deadTopicID is the topic of every group's dead letters in these tests.
const deadTopicID = 2

type deadLetters struct{}

func (deadLetters) DeadLetterQueue(_ context.Context, group string) (string, message.Queue, error) {
	return meta.DeadLetterTopic(group), message.Queue{Topic: deadTopicID}, nil
}

func openShard(t *testing.T, fs vfs.FS, c clock.Clock) *realShard {
	t.Helper()
	s, err := shard.Open(t.Context(), shard.Options{
		Config: shard.Config{SegmentSize: 4 << 20, MaxAttempts: 3},
		ID:     1, FS: fs, Dir: "/shard", Clock: c, Rand: rand.New(rand.NewPCG(1, 2)),
		Logger: slog.New(slog.DiscardHandler), Create: true,
		NextEpoch:   func(_ context.Context, last message.Epoch) (message.Epoch, error) { return last + 1, nil },
		DeadLetters: deadLetters{},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	stopped := false
	r := &realShard{Shard: s}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-result; err != nil {
			t.Errorf("shard: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// TestOverTheRealShard sends, receives, acknowledges, restarts, lets a message expire until it is dead, and
// reads it from the dead letters, all over the wire.
func TestOverTheRealShard(t *testing.T) {
	fs, manual := memfs.New(1), clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	s := openShard(t, fs, manual)
	start := func(s *realShard) *rig {
		r := newRig(t, rigOptions{shard: s})
		r.directory.Put(meta.Topic{Name: "%DLQ%billing", Queues: 1, Type: meta.TypeNormal, Ack: meta.AckDurable})
		r.directory.PutGroup(meta.Group{Name: "billing", Generation: 1, MaxAttempts: 2, From: meta.FromFirst, Version: 1})
		return r
	}
	r := start(s)
	for i := range 10 {
		r.mustSend(plainMessage(strconv.Itoa(i), "body "+strconv.Itoa(i)))
	}
	var got []*pb.Message
	for len(got) < 10 {
		frames := r.receive(receiveRequest(32))
		if len(frames.messages) == 0 {
			t.Fatalf("%d messages: %v", len(got), frames.status)
		}
		got = append(got, frames.messages...)
	}
	for _, m := range got[:8] {
		r.ackCode(m, pb.Code_OK)
	}

	// A restart; the handles from before it are good.
	s.stop()
	s = openShard(t, fs, manual)
	r = start(s)
	r.ackCode(got[8], pb.Code_OK)

	// The last one is not acknowledged: it comes once more, and then it is dead.
	manual.Advance(31 * time.Second)
	req := receiveRequest(32)
	req.LongPollingTimeout = durationpb.New(5 * time.Second)
	again := r.receive(req)
	if len(again.messages) != 1 || again.messages[0].GetSystemProperties().GetDeliveryAttempt() != 2 ||
		again.messages[0].GetSystemProperties().GetMessageId() != got[9].GetSystemProperties().GetMessageId() {
		t.Fatalf("%+v", again)
	}
	manual.Advance(31 * time.Second)
	if frames := r.receive(receiveRequest(32)); len(frames.messages) != 0 {
		t.Errorf("a third delivery: %v", frames.messages)
	}
	dead := receiveRequest(1)
	dead.Group, dead.MessageQueue.Topic = &pb.Resource{Name: "undertaker"}, topicResource("%DLQ%billing")
	dead.LongPollingTimeout = durationpb.New(10 * time.Second)
	frames := r.receive(dead)
	if len(frames.messages) != 1 {
		t.Fatalf("%+v", frames)
	}
	p := frames.messages[0].GetSystemProperties()
	if p.GetDeadLetterQueue().GetTopic() != testTopic || p.GetDeadLetterQueue().GetMessageId() != got[9].GetSystemProperties().GetMessageId() ||
		string(frames.messages[0].GetBody()) != string(got[9].GetBody()) {
		t.Errorf("%v", frames.messages[0])
	}
}

// TestPullsWakeTogether parks several pulls of one queue on the store's own shard, where one arrival wakes one
// waiter of each group: every one of them is woken.
func TestPullsWakeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{shard: openShard(t, memfs.New(1), clock.Runtime())})
		queue := r.single(0)
		start := time.Now()
		got := make(chan pullFrames, 3)
		for range 3 {
			go func() {
				got <- r.pull(&pb.PullMessageRequest{Group: groupResource(), MessageQueue: queue, BatchSize: 1})
			}()
		}
		time.Sleep(time.Second)
		m := plainMessage("1", "body")
		m.Topic = queue.GetTopic()
		r.mustSend(m)
		for range 3 {
			if frames := <-got; len(frames.messages) != 1 {
				t.Errorf("%+v", frames)
			}
		}
		if took := time.Since(start); took >= 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
