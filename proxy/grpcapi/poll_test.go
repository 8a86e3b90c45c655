package grpcapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// newBubbleRig is a rig in a synctest bubble: its connections are in memory, its time does not pass by itself.
func newBubbleRig(t *testing.T, options rigOptions) *rig {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	options.listener = l
	options.dial = func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	return newRig(t, options)
}

func TestPollTime(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		asked     *durationpb.Duration
		remaining time.Duration // of the deadline; 0 for none
		want      time.Duration
	}{
		{nil, 0, 20 * time.Second},
		{durationpb.New(5 * time.Second), 0, 5 * time.Second},
		{durationpb.New(40 * time.Second), 0, 20 * time.Second},
		{durationpb.New(0), 0, 0},
		{durationpb.New(-time.Second), 0, 0},
		{&durationpb.Duration{Seconds: 1, Nanos: -1}, 0, 20 * time.Second}, // no duration at all
		{durationpb.New(20 * time.Second), 23 * time.Second, 20 * time.Second},
		{durationpb.New(40 * time.Second), 40 * time.Second, 20 * time.Second},
		{durationpb.New(5 * time.Second), 5 * time.Second, 4500 * time.Millisecond}, // as Rust asks
		{nil, 3 * time.Second, 2500 * time.Millisecond},
		{nil, 2 * time.Second, 1500 * time.Millisecond},
		{nil, time.Second, 750 * time.Millisecond},
		{nil, 100 * time.Millisecond, 75 * time.Millisecond},
		{nil, -time.Second, 0},
		{nil, 365 * 24 * time.Hour, 20 * time.Second},
	} {
		ctx := t.Context()
		if c.remaining != 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, now.Add(c.remaining))
			defer cancel()
		}
		if got := pollTime(ctx, c.asked, maxPoll, now); got != c.want {
			t.Errorf("asked %v, remaining %v: %v, want %v", c.asked, c.remaining, got, c.want)
		}
	}
}

// TestEmptyPollIsExact asks for polls of many kinds and measures to the millisecond when the answer comes.
func TestEmptyPollIsExact(t *testing.T) {
	for _, c := range []struct {
		asked    *durationpb.Duration
		deadline time.Duration
		want     time.Duration
	}{
		{durationpb.New(20 * time.Second), 23 * time.Second, 20 * time.Second},      // most clients
		{nil, 23 * time.Second, 20 * time.Second},                                   // C++, Go's simple consumer
		{durationpb.New(40 * time.Second), 40 * time.Second, 20 * time.Second},      // Rust
		{durationpb.New(5 * time.Second), 5 * time.Second, 4500 * time.Millisecond}, // Rust with a short poll
		{durationpb.New(5 * time.Second), time.Second, 750 * time.Millisecond},
		{durationpb.New(1500 * time.Millisecond), 0, 1500 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("asked=%v/deadline=%v", c.asked.AsDuration(), c.deadline), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBubbleRig(t, rigOptions{})
				ctx := r.as("consumer")
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				for _, rpc := range []string{"receive", "pull"} {
					if c.deadline > 0 && rpc == "pull" {
						continue // one deadline, one call
					}
					start := time.Now()
					status := r.emptyPoll(ctx, rpc, c.asked)
					if took := time.Since(start).Truncate(time.Millisecond); took != c.want || status.GetCode() != pb.Code_MESSAGE_NOT_FOUND {
						t.Errorf("%s: %v after %v, want %v", rpc, status, took, c.want)
					}
				}
			})
		})
	}
}

func (r *rig) emptyPoll(ctx context.Context, rpc string, asked *durationpb.Duration) *pb.Status {
	r.t.Helper()
	if rpc == "pull" {
		stream, err := r.client.PullMessage(ctx, &pb.PullMessageRequest{
			Group: groupResource(), MessageQueue: &pb.MessageQueue{Topic: topicResource(testTopic)}, LongPollingTimeout: asked,
		})
		if err != nil {
			r.t.Fatal(err)
		}
		got, err := readPull(stream)
		if err != nil {
			r.t.Fatal(err)
		}
		return got.status
	}
	req := receiveRequest(8)
	req.LongPollingTimeout = asked
	stream, err := r.client.ReceiveMessage(ctx, req)
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := readReceive(stream)
	if err != nil || got.delivered == nil {
		r.t.Fatal(got, err)
	}
	return got.status
}

// TestPollWokenByArrival parks polls, sends, and finds that all of them have their message at once.
func TestPollWokenByArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		start := time.Now()
		const polls = 4
		got := make(chan answerFrames, polls)
		for range polls {
			go func() {
				req := receiveRequest(1)
				req.LongPollingTimeout = durationpb.New(20 * time.Second)
				stream, err := r.client.ReceiveMessage(r.as("consumer"), req)
				if err != nil {
					t.Error(err)
				}
				frames, err := readReceive(stream)
				if err != nil {
					t.Error(err)
				}
				got <- frames
			}()
		}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		for i := range polls {
			r.mustSend(plainMessage(fmt.Sprint(i), "body"))
		}
		for range polls {
			if frames := <-got; len(frames.messages) != 1 {
				t.Errorf("%+v", frames)
			}
		}
		if took := time.Since(start).Truncate(time.Millisecond); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestExpiredMessageComesAgain leaves a message alone and gets it again when its invisible time is over,
// with one attempt more, and its old handle dead.
func TestExpiredMessageComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		r.mustSend(plainMessage("1", "body"))
		first := r.receive(receiveRequest(1)).messages[0]
		start := time.Now()
		req := receiveRequest(1)
		req.LongPollingTimeout = durationpb.New(20 * time.Second)
		for range 2 {
			if got := r.receive(req); len(got.messages) == 1 {
				p := got.messages[0].GetSystemProperties()
				if took := time.Since(start).Truncate(time.Millisecond); took != 30*time.Second || p.GetDeliveryAttempt() != 2 {
					t.Errorf("after %v, attempt %d", took, p.GetDeliveryAttempt())
				}
				r.ackCode(first, pb.Code_INVALID_RECEIPT_HANDLE)
				r.ackCode(got.messages[0], pb.Code_OK)
				return
			}
		}
		t.Error("it did not come again")
	})
}

func (r *rig) ackCode(m *pb.Message, want pb.Code) {
	r.t.Helper()
	resp, err := r.client.AckMessage(r.as("consumer"), &pb.AckMessageRequest{
		Group: groupResource(), Topic: topicResource(testTopic),
		Entries: []*pb.AckMessageEntry{{MessageId: "1", ReceiptHandle: m.GetSystemProperties().GetReceiptHandle()}},
	})
	if err != nil || resp.GetStatus().GetCode() != want || len(resp.GetEntries()) != 1 || resp.GetEntries()[0].GetStatus().GetCode() != want {
		r.t.Errorf("ack: %v %v, want %v", resp, err, want)
	}
}

// TestClientGoneWhilePolling leaves during a poll: nothing is leased for nobody, and the next one gets it as new.
func TestClientGoneWhilePolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		ctx, cancel := context.WithCancel(r.as("consumer"))
		req := receiveRequest(1)
		req.LongPollingTimeout = nil
		stream, err := r.client.ReceiveMessage(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		cancel()
		if _, err := stream.Recv(); err == nil {
			t.Error("an answer to a client that has gone")
		}
		synctest.Wait()
		r.mustSend(plainMessage("1", "body"))
		got := r.receive(receiveRequest(1))
		if len(got.messages) != 1 || got.messages[0].GetSystemProperties().GetDeliveryAttempt() != 1 {
			t.Errorf("%+v", got)
		}
		if n := r.server.polls.Load(); n != 0 {
			t.Errorf("%d polls are still counted", n)
		}
	})
}

// TestDrain parks polls and a Telemetry stream and finds that a drain ends them all at once, in peace.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		stream, err := r.client.Telemetry(r.as("consumer"))
		if err != nil {
			t.Fatal(err)
		}
		codes := make(chan pb.Code, 2)
		for _, rpc := range []string{"receive", "pull"} {
			go func() { codes <- r.emptyPoll(r.as("consumer"), rpc, durationpb.New(20*time.Second)).GetCode() }()
		}
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := r.server.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		for range 2 {
			if code := <-codes; code != pb.Code_MESSAGE_NOT_FOUND {
				t.Errorf("poll: %v", code)
			}
		}
		if _, err := stream.Recv(); err == nil || time.Since(start) != 0 {
			t.Errorf("telemetry: %v, after %v", err, time.Since(start))
		}
	})
}

// TestTooManyPolls fills the places for polls.
func TestTooManyPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{config: func(c *Config) { c.MaxLongPolls = 1 }})
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.emptyPoll(r.as("consumer"), "receive", durationpb.New(time.Second))
		}()
		synctest.Wait()
		got := r.receive(receiveRequest(1))
		if got.status.GetCode() != pb.Code_TOO_MANY_REQUESTS || got.delivered != nil {
			t.Errorf("%+v", got)
		}
		<-done
	})
}

// TestSessionsLiveByHeartbeat reports a consumer to the shard as long as it gives signs of life, and ends it
// on its own word.
func TestSessionsLiveByHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.proxy.Run(ctx) }()
		beat := func(client string, kind pb.ClientType, group *pb.Resource) {
			t.Helper()
			resp, err := r.client.Heartbeat(r.as(client), &pb.HeartbeatRequest{ClientType: kind, Group: group})
			if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
				t.Fatalf("heartbeat: %v %v", resp, err)
			}
		}
		beat("push", pb.ClientType_PUSH_CONSUMER, groupResource())
		beat("simple", pb.ClientType_SIMPLE_CONSUMER, groupResource())
		beat("producer", pb.ClientType_PRODUCER, nil)
		beat("go-producer", pb.ClientType_PRODUCER, &pb.Resource{})
		time.Sleep(11 * time.Second)
		if got := fmt.Sprint(r.shard.Clients()); got != "[push simple]" {
			t.Errorf("reported: %v", got)
		}
		for range 10 {
			time.Sleep(30 * time.Second)
			beat("push", pb.ClientType_PUSH_CONSUMER, groupResource())
		}
		if _, ok := r.proxy.Sessions().Get("simple"); ok {
			t.Error("a silent client is still known")
		}
		for range 2 { // the second time it is not known any more
			resp, err := r.client.NotifyClientTermination(r.as("push"), &pb.NotifyClientTerminationRequest{})
			if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
				t.Errorf("termination: %v %v", resp, err)
			}
		}
		if _, ok := r.proxy.Sessions().Get("push"); ok || r.shard.Calls("Gone") != 2 {
			t.Error("the client is still known")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestHeartbeatOfNothing is refused, inside the answer.
func TestHeartbeatOfNothing(t *testing.T) {
	r := newRig(t, rigOptions{})
	resp, err := r.client.Heartbeat(r.as("x"), &pb.HeartbeatRequest{})
	if err != nil || resp.GetStatus().GetCode() != pb.Code_UNRECOGNIZED_CLIENT_TYPE {
		t.Errorf("%v %v", resp, err)
	}
}

// TestNodePushWaits nacks as the Node client does, in milliseconds, and waits as the group's policy says.
func TestNodePushWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBubbleRig(t, rigOptions{})
		for client, want := range map[string]time.Duration{"node": time.Second, "java": 5 * time.Millisecond} {
			language := pb.Language_NODE_JS
			if client == "java" {
				language = pb.Language_JAVA
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), headerClientID, client, headerLanguage, "HTTP")
			r.telemetry(ctx, consumerSettings(pb.ClientType_PUSH_CONSUMER, language))
			r.mustSend(plainMessage("1", "body"))
			req := receiveRequest(1)
			req.AutoRenew = true
			m := r.receive(req).messages[0]
			resp, err := r.client.ChangeInvisibleDuration(ctx, &pb.ChangeInvisibleDurationRequest{
				Group: groupResource(), Topic: topicResource(testTopic), ReceiptHandle: m.GetSystemProperties().GetReceiptHandle(),
				InvisibleDuration: durationpb.New(5 * time.Millisecond),
			})
			if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
				t.Fatalf("change: %v %v", resp, err)
			}
			start := time.Now()
			req.LongPollingTimeout = nil
			again := r.receive(req)
			if took := time.Since(start); len(again.messages) != 1 || took.Truncate(time.Millisecond) != want {
				t.Errorf("%s: %d messages after %v, want %v", client, len(again.messages), took, want)
			}
			// The handle from before the change and the one that it returned were both good until now.
			r.ackCode(again.messages[0], pb.Code_OK)
		}
	})
}

// TestBothHandlesAreGood changes a delivery and acknowledges it by the handle from before.
func TestBothHandlesAreGood(t *testing.T) {
	r := newRig(t, rigOptions{})
	for _, old := range []bool{true, false} {
		r.mustSend(plainMessage("1", "body"))
		m := r.receive(receiveRequest(1)).messages[0]
		resp, err := r.client.ChangeInvisibleDuration(r.as("consumer"), &pb.ChangeInvisibleDurationRequest{
			Group: groupResource(), Topic: topicResource(testTopic), ReceiptHandle: m.GetSystemProperties().GetReceiptHandle(),
			InvisibleDuration: durationpb.New(time.Minute),
		})
		if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
			t.Fatalf("change: %v %v", resp, err)
		}
		if !old {
			m.SystemProperties.ReceiptHandle = new(resp.GetReceiptHandle())
		}
		r.ackCode(m, pb.Code_OK)
	}
}
