package shard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// poll parks a poll of the test topic and returns where its answer comes.
func (r *rig) poll(ctx context.Context, group string, queues ...message.QueueID) chan error {
	answer := make(chan error, 1)
	req := &storelayer.WaitRequest{Group: group, Generation: 1, Topic: testTopic, Queues: queues, Token: r.waiters.token(testTopic)}
	go func() { answer <- r.Wait(ctx, req) }()
	synctest.Wait()
	return answer
}

// wantAnswered reports whether a poll has come back by now.
func wantAnswered(t *testing.T, what string, answer chan error, want bool) {
	t.Helper()
	synctest.Wait()
	if got := len(answer) > 0; got != want {
		t.Errorf("%s: the poll has come back: %t, want %t", what, got, want)
	}
}

// inBubble runs a test of a shard whose goroutines can be waited for.
func inBubble(t *testing.T, seed uint64, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemFS(seed), seed)
		test(t, r)
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A poll that parked while nothing was leased must see the end of a lease that was made since.
func TestParkedPollSeesTheEndOfALaterLease(t *testing.T) {
	inBubble(t, 60, func(t *testing.T, r *rig) {
		r.send(text(0, "first", ""))
		r.ack(r.lease(leaseRequest("g", 1))...)
		first, second := r.poll(t.Context(), "g", 0), r.poll(t.Context(), "g", 0)
		r.send(text(0, "a", ""))
		wantAnswered(t, "first, on arrival", first, true)
		if got := r.lease(leaseRequest("g", 1)); bodies(got) != "a#1" {
			t.Fatalf("lease: %s", bodies(got))
		}
		wantAnswered(t, "second, on arrival", second, false)
		r.clock.Advance(9 * time.Second)
		wantAnswered(t, "second, before the lease ends", second, false)
		r.clock.Advance(time.Second)
		wantAnswered(t, "second, when the lease ends", second, true)
	})
}

// A lease that is renewed while polls are parked moves their alarm.
func TestParkedPollFollowsAMovedLease(t *testing.T) {
	inBubble(t, 61, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""))
		got := r.lease(leaseRequest("g", 1))
		poll := r.poll(t.Context(), "g", 0)
		if _, err := r.Change(t.Context(), &storelayer.ChangeRequest{Handle: got[0].Handle, Invisible: time.Minute}); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(11 * time.Second)
		wantAnswered(t, "after the old end", poll, false)
		if _, err := r.Change(t.Context(), &storelayer.ChangeRequest{Handle: got[0].Handle, Invisible: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(5 * time.Second)
		wantAnswered(t, "after the new end", poll, true)
	})
}

// A lease that has ended elsewhere is nothing that this poll can take: it would come back at once, for ever.
func TestPollSleepsWhileOtherQueuesAreDue(t *testing.T) {
	inBubble(t, 62, func(t *testing.T, r *rig) {
		other := text(0, "other", "")
		other.Queue.Topic = testTopic + 1
		r.send(text(1, "a", ""))
		r.send(other)
		for _, topic := range []message.TopicID{testTopic, testTopic + 1} {
			req := leaseRequest("g", 1)
			req.Topic = topic
			if got := r.lease(req); len(got) != 1 {
				t.Fatalf("lease: %s", bodies(got))
			}
		}
		r.clock.Advance(11 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		poll := r.poll(ctx, "g", 0)
		wantAnswered(t, "queue 0", poll, false)
		cancel()
		wantAnswered(t, "queue 1, which is due", r.poll(t.Context(), "g", 1), true)
	})
}

// Token 0 says that a lease stopped at its bound: the poll must come again, also right after a start.
func TestTokenZeroNeverParks(t *testing.T) {
	inBubble(t, 63, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Wait(ctx, &storelayer.WaitRequest{Group: "g", Generation: 1, Topic: testTopic, Queues: []message.QueueID{0}}); err != nil {
			t.Errorf("wait: %v", err)
		}
	})
}

func TestWaitMakesNoGroup(t *testing.T) {
	inBubble(t, 64, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		polls := []chan error{r.poll(ctx, "\x00pull 1", 0), r.poll(ctx, "\x00pull 2", 0)}
		cancel()
		for _, poll := range polls {
			if err := <-poll; !errors.Is(err, context.Canceled) {
				t.Errorf("wait: %v", err)
			}
		}
		if all := r.allProgress(); len(all) != 0 {
			t.Errorf("%d groups are there although nothing was leased", len(all))
		}
	})
}

// A poll that was woken and whose client leaves before it leases hands the message on.
func TestLeaseThatFailsHandsItsWakeUpOn(t *testing.T) {
	inBubble(t, 65, func(t *testing.T, r *rig) {
		first, second := r.poll(t.Context(), "g", 0), r.poll(t.Context(), "g", 0)
		r.send(text(0, "a", ""))
		wantAnswered(t, "first", first, true)
		wantAnswered(t, "second", second, false)
		left, leave := context.WithCancel(t.Context())
		leave()
		if _, err := r.Lease(left, leaseRequest("g", 1)); !errors.Is(err, context.Canceled) {
			t.Fatalf("lease of a client that has left: %v", err)
		}
		wantAnswered(t, "second, when the first has left", second, true)
	})
}

// A client that goes leaves more messages than one poll takes.
func TestGoneWakesEveryPollThatMayLease(t *testing.T) {
	inBubble(t, 66, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""), text(0, "b", ""))
		req := leaseRequest("g", 2)
		req.AutoRenew, req.Client = true, "dying"
		if got := r.lease(req); len(got) != 2 {
			t.Fatalf("lease: %s", bodies(got))
		}
		polls := []chan error{r.poll(t.Context(), "g", 0), r.poll(t.Context(), "g", 0)}
		if err := r.Gone(t.Context(), "dying"); err != nil {
			t.Fatal(err)
		}
		for _, poll := range polls {
			wantAnswered(t, "after the client has gone", poll, true)
		}
	})
}

func TestResetWakesEveryPoll(t *testing.T) {
	inBubble(t, 67, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""), text(0, "b", ""))
		r.ack(r.lease(leaseRequest("g", 2))...)
		polls := []chan error{r.poll(t.Context(), "g", 0), r.poll(t.Context(), "g", 0)}
		if err := r.Reset(t.Context(), &storelayer.ResetRequest{Group: "g", Generation: 1, Queue: message.Queue{Topic: testTopic}}); err != nil {
			t.Fatal(err)
		}
		for _, poll := range polls {
			wantAnswered(t, "after the reset", poll, true)
		}
	})
}

// Whoever changes a lease and does not wait for the sync has changed it all the same.
func TestChangeWakesThoughItsCallerHasLeft(t *testing.T) {
	inBubble(t, 68, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""))
		got := r.lease(leaseRequest("g", 1))
		poll := r.poll(t.Context(), "g", 0)
		syncs := r.holdSyncs()
		ctx, leave := context.WithCancel(t.Context())
		changed := make(chan error, 1)
		go func() {
			_, err := r.Change(ctx, &storelayer.ChangeRequest{Handle: got[0].Handle})
			changed <- err
		}()
		synctest.Wait()
		leave()
		if err := <-changed; !errors.Is(err, storelayer.ErrUnknown) {
			t.Errorf("change: %v", err)
		}
		close(syncs)
		wantAnswered(t, "after the change", poll, true)
	})
}

// The name of a client is kept up to 255 bytes; its life must be found by the same name.
func TestLeaseOfAClientWithALongName(t *testing.T) {
	inBubble(t, 69, func(t *testing.T, r *rig) {
		r.clock.Advance(2 * time.Minute) // no grace of the start holds it
		r.send(text(0, "a", ""))
		req := leaseRequest("g", 1)
		req.AutoRenew, req.Client = true, strings.Repeat("c", 300)
		if got := r.lease(req); len(got) != 1 {
			t.Fatal("no lease")
		}
		if got := r.lease(leaseRequest("g", 1)); len(got) != 0 {
			t.Errorf("the lease of a living client ended at once: %s", bodies(got))
		}
		if err := r.Gone(t.Context(), req.Client); err != nil {
			t.Fatal(err)
		}
		if got := r.lease(leaseRequest("g", 1)); bodies(got) != "a#2" {
			t.Errorf("after the client has gone: %s", bodies(got))
		}
	})
}

// Every call that waits when a sync fails, and every later one, must say that the shard is fenced.
func TestFencedShardAnswersEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newMemFS(70), 70)
		r.send(text(0, "a", ""), text(0, "b", ""))
		got := r.lease(leaseRequest("g", 1))
		r.send(text(0, "barrier", ""))
		poll := r.poll(t.Context(), "other", 3)
		r.failSyncs()
		if _, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, "c", "")}}); !errors.Is(err, storelayer.ErrUnknown) || !errors.Is(err, storelayer.ErrFenced) {
			t.Errorf("append whose sync failed: %v", err)
		}
		if err := <-r.result; err == nil {
			t.Error("Run ended without an error")
		}
		synctest.Wait()
		select {
		case err := <-poll:
			if !errors.Is(err, storelayer.ErrFenced) {
				t.Errorf("parked poll: %v", err)
			}
		default:
			t.Error("a poll stays parked on a fenced shard")
		}
		queue := message.Queue{Topic: testTopic}
		for _, call := range []struct {
			name string
			do   func() error
		}{
			{"append", func() error {
				_, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, "d", "")}})
				return err
			}},
			{"lease", func() error { _, err := r.Lease(t.Context(), leaseRequest("g", 1)); return err }},
			{"ack", func() error { _, err := r.Ack(t.Context(), []storelayer.Handle{got[0].Handle}); return err }},
			{"wait", func() error {
				return r.Wait(t.Context(), &storelayer.WaitRequest{Group: "g", Topic: testTopic, Token: r.waiters.token(testTopic)})
			}},
			{"fetch", func() error {
				_, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: queue, Max: 1})
				return err
			}},
			{"reset", func() error { return r.Reset(t.Context(), &storelayer.ResetRequest{Group: "g", Queue: queue}) }},
			{"dead-letter", func() error { return r.DeadLetter(t.Context(), got[0].Handle) }},
			{"delete", func() error { return r.DeleteTopic(t.Context(), testTopic) }},
		} {
			if err := call.do(); !errors.Is(err, storelayer.ErrFenced) || errors.Is(err, storelayer.ErrUnknown) {
				t.Errorf("%s on a fenced shard: %v", call.name, err)
			}
		}
		r.cancel()
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

// A stop ends the polls that nobody has drained.
func TestStopEndsParkedPolls(t *testing.T) {
	inBubble(t, 71, func(t *testing.T, r *rig) {
		poll := r.poll(t.Context(), "g", 0)
		r.cancel()
		synctest.Wait()
		select {
		case err := <-poll:
			if !errors.Is(err, storelayer.ErrClosed) {
				t.Errorf("poll: %v", err)
			}
		default:
			t.Error("a poll stays parked on a shard that has stopped")
		}
	})
}

// A topic that ends takes what the polls knew of it along.
func TestPollOfATopicThatEnded(t *testing.T) {
	inBubble(t, 72, func(t *testing.T, r *rig) {
		poll := r.poll(t.Context(), "g", 0)
		if err := r.DeleteTopic(t.Context(), testTopic); err != nil {
			t.Fatal(err)
		}
		wantAnswered(t, "parked before", poll, true)
		wantAnswered(t, "parked behind", r.poll(t.Context(), "g", 0), true)
	})
}
