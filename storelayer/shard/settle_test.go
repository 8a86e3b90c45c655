package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// A message that is settled by a record on its way is not settled yet: whoever is told so must wait as well.
func TestAnswersAboutSettledMessagesWaitForTheSync(t *testing.T) {
	inBubble(t, 80, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""))
		got := r.lease(leaseRequest("g", 1))
		r.send(text(3, "barrier", ""))
		syncs := r.holdSyncs()
		answers := make(chan error, 3)
		ack := func() {
			errs, err := r.Ack(t.Context(), []storelayer.Handle{got[0].Handle})
			answers <- errors.Join(append(errs, err)...)
		}
		go ack()
		synctest.Wait()
		go ack()
		go func() { answers <- r.DeadLetter(t.Context(), got[0].Handle) }()
		synctest.Wait()
		if n := len(answers); n != 0 {
			t.Errorf("%d calls were answered before the sync", n)
		}
		close(syncs)
		for range 3 {
			if err := <-answers; err != nil {
				t.Errorf("answer: %v", err)
			}
		}
		if next := r.table.Next(message.Queue{Topic: deadTopic}); next != 0 {
			t.Errorf("a settled message has %d dead letters", next)
		}
	})
}

// A handle is text from outside: one of a group that nobody knows must not make a group.
func TestHandlesOfUnknownGroupsMakeNoGroup(t *testing.T) {
	r := newRig(t, newMemFS(81), 81)
	r.send(text(0, "a", ""))
	h := storelayer.Handle{
		Shard: r.ID(), Queue: message.Queue{Topic: testTopic}, Group: "nobody", Epoch: r.Epoch(), Lease: 1, Attempt: 1,
		Deadline: r.now() + time.Hour.Milliseconds(),
	}
	if errs, err := r.Ack(t.Context(), []storelayer.Handle{h}); err != nil || !errors.Is(errs[0], storelayer.ErrInvalidHandle) {
		t.Errorf("ack: %v, %v", errs, err)
	}
	if _, err := r.Change(t.Context(), &storelayer.ChangeRequest{Handle: h}); !errors.Is(err, storelayer.ErrInvalidHandle) {
		t.Errorf("change: %v", err)
	}
	if err := r.DeadLetter(t.Context(), h); !errors.Is(err, storelayer.ErrInvalidHandle) {
		t.Errorf("dead-letter: %v", err)
	}
	if err := r.Release(t.Context(), []storelayer.Handle{h}); err != nil {
		t.Errorf("release: %v", err)
	}
	if all := r.allProgress(); len(all) != 0 {
		t.Errorf("%d groups are there", len(all))
	}
	// The lease of a group that was new went with the end of the log: its message was delivered all the same.
	r.restart()
	if errs, err := r.Ack(t.Context(), []storelayer.Handle{h}); err != nil || errs[0] != nil {
		t.Errorf("ack of a lease that a restart took: %v, %v", errs, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// What is leased and cannot be read goes back at once: nobody has it.
func TestLeaseThatCannotReadGivesBack(t *testing.T) {
	r := newRig(t, newMemFS(82), 82)
	r.send(text(0, "a", ""), text(0, "b", ""))
	heal := r.failReads()
	if got, err := r.Lease(t.Context(), leaseRequest("g", 2)); err == nil {
		t.Fatalf("lease on a disk that does not read: %+v", got)
	}
	heal()
	if got := r.lease(leaseRequest("g", 2)); bodies(got) != "a#1 b#1" {
		t.Errorf("lease on a disk that reads again: %q", bodies(got))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// From the record that ends a topic on its messages are refused, also those that are on their way behind it.
func TestAppendBehindTheEndOfATopic(t *testing.T) {
	inBubble(t, 83, func(t *testing.T, r *rig) {
		r.send(text(0, "a", ""), text(0, "b", ""))
		syncs := r.holdSyncs()
		deleted, appended := make(chan error, 1), make(chan error, 1)
		go func() { deleted <- r.DeleteTopic(t.Context(), testTopic) }()
		synctest.Wait()
		send := func() error {
			_, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, "late", "")}})
			return err
		}
		go func() { appended <- send() }()
		synctest.Wait()
		close(syncs)
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		if err := <-appended; !errors.Is(err, storelayer.ErrQueueNotFound) {
			t.Errorf("append behind the end of its topic, while that is on its way: %v", err)
		}
		if err := send(); !errors.Is(err, storelayer.ErrQueueNotFound) {
			t.Errorf("append to a deleted topic: %v", err)
		}
		r.restart()
		if err := send(); !errors.Is(err, storelayer.ErrQueueNotFound) {
			t.Errorf("append to a deleted topic after a restart: %v", err)
		}
	})
}

// A topic's end reaches every group that has read it, and a replay of it as well.
func TestDeleteTopicEndsItsLeases(t *testing.T) {
	r := newRig(t, newMemFS(85), 85)
	r.send(text(0, "a", ""), text(0, "b", ""))
	got := r.lease(leaseRequest("g", 1))
	if err := r.DeleteTopic(t.Context(), testTopic); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if errs, err := r.Ack(t.Context(), []storelayer.Handle{got[0].Handle}); err != nil || !errors.Is(errs[0], storelayer.ErrInvalidHandle) {
			t.Errorf("ack in a deleted topic: %v, %v", errs, err)
		}
		if _, err := r.Lease(t.Context(), leaseRequest("g", 1)); !errors.Is(err, storelayer.ErrQueueNotFound) {
			t.Errorf("lease in a deleted topic: %v", err)
		}
		r.restart()
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// Names are checked at the edge, and a bug there must not end the process.
func TestGroupNamesThatNoRecordHolds(t *testing.T) {
	r := newRig(t, newMemFS(84), 84)
	r.send(text(0, "a", ""))
	long := strings.Repeat("g", 256)
	reset := &storelayer.ResetRequest{Group: long, Queue: message.Queue{Topic: testTopic}}
	for name, do := range map[string]func() error{
		"lease":  func() error { _, err := r.Lease(t.Context(), leaseRequest(long, 1)); return err },
		"commit": func() error { return r.Commit(t.Context(), reset) },
		"reset":  func() error { return r.Reset(t.Context(), reset) },
		"delete": func() error { return r.DeleteGroup(t.Context(), long, 1) },
	} {
		if err := do(); !errors.Is(err, message.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// slowBucket answers when it is told to.
type slowBucket struct {
	Bucket
	asked  chan struct{}
	answer chan struct{}
}

func (b *slowBucket) Read(ctx context.Context, q message.Queue, offset message.Offset) ([]byte, error) {
	select {
	case b.asked <- struct{}{}:
	default:
	}
	<-b.answer
	return b.Bucket.Read(ctx, q, offset)
}

// An append that races with a stop is answered, and with OK only if the next start has it.
func TestAppendsThatRaceWithAStopAreAnswered(t *testing.T) {
	for seed := range uint64(20) {
		r := newRig(t, newMemFS(seed), seed)
		const senders = 8
		stored := make(chan storelayer.Appended, 10_000)
		var all sync.WaitGroup
		started := make(chan struct{}, senders)
		for i := range senders {
			all.Go(func() {
				for n := 0; ; n++ {
					places, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, fmt.Sprintf("%d/%d", i, n), "")}})
					if n == 0 {
						started <- struct{}{}
					}
					switch {
					case err == nil:
						stored <- places[0]
					case errors.Is(err, storelayer.ErrClosed):
						return
					default:
						t.Errorf("append: %v", err)
						return
					}
				}
			})
		}
		for range senders {
			<-started
		}
		r.cancel()
		all.Wait()
		r.restart()
		if next := r.table.Next(message.Queue{Topic: testTopic}); int(next) < len(stored) {
			t.Errorf("%d messages are there, %d were acknowledged", next, len(stored))
		}
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
}
