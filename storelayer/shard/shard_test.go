package shard

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
)

func TestLifeOfAMessage(t *testing.T) {
	r := newRig(t, newMemFS(1), 1)
	places := r.send(text(0, "a", ""), text(0, "b", ""), text(1, "c", ""))
	if places[0].Offset != 0 || places[1].Offset != 1 || places[2].Offset != 0 {
		t.Fatalf("offsets %+v", places)
	}
	got := r.lease(leaseRequest("g", 2))
	if bodies(got) != "a#1 b#1" {
		t.Fatalf("first lease: %s", bodies(got))
	}
	rest := r.lease(leaseRequest("g", 10))
	if bodies(rest) != "c#1" {
		t.Fatalf("second lease: %s", bodies(rest))
	}
	r.ack(got...)
	r.ack(got[0]) // settled already: no error
	r.clock.Advance(11 * time.Second)
	again := r.lease(leaseRequest("g", 10))
	if bodies(again) != "c#2" {
		t.Fatalf("after the invisible time: %s", bodies(again))
	}
	if other := r.lease(leaseRequest("other", 10)); bodies(other) != "a#1 b#1 c#1" {
		t.Fatalf("another group: %s", bodies(other))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestHandlesOutliveARestart(t *testing.T) {
	r := newRig(t, newMemFS(2), 2)
	r.send(text(0, "a", ""), text(0, "b", ""))
	got := r.lease(leaseRequest("g", 2))
	r.ack(got[0]) // its sync carries the lease record as well
	r.restart()
	r.ack(got[1])
	state, err := r.Groups(t.Context(), "g")
	if err != nil || len(state) != 1 || state[0].Committed != 2 {
		t.Fatalf("groups: %+v, %v", state, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestFilter(t *testing.T) {
	r := newRig(t, newMemFS(3), 3)
	// Aa and BB have the same hash: only the text tells them apart.
	r.send(text(0, "1", "Aa"), text(0, "2", "BB"), text(0, "3", "x"), text(0, "4", "Aa"))
	req := leaseRequest("g", 10)
	var err error
	if req.Filter, err = filter.CompileTag("Aa"); err != nil {
		t.Fatal(err)
	}
	got := r.lease(req)
	if bodies(got) != "1#1 4#1" {
		t.Fatalf("filtered lease: %s", bodies(got))
	}
	r.ack(got...)
	state, err := r.Groups(t.Context(), "g")
	if err != nil || state[0].Committed != 4 {
		t.Fatalf("what does not match is settled: %+v, %v", state, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLetter(t *testing.T) {
	r := newRig(t, newMemFS(4), 4)
	moved := make(chan message.Offset, 10)
	failed := make(chan error, 10)
	r.Shard.opts.Events.DeadLettered = func(_ string, _ message.Queue, o message.Offset) { moved <- o }
	r.Shard.opts.Events.DeadLetter = func(_ string, _ message.Queue, _ message.Offset, err error) { failed <- err }
	away := errors.New("metadata away")
	r.dead.fail(away)
	r.send(text(0, "poison", "tag", "key"))
	for range 3 {
		if got := r.lease(leaseRequest("g", 1)); len(got) != 1 {
			t.Fatalf("lease: %v", got)
		}
		r.clock.Advance(11 * time.Second)
	}
	if got := r.lease(leaseRequest("g", 1)); len(got) != 0 {
		t.Fatalf("a fourth delivery: %s", bodies(got))
	}
	if err := <-failed; !errors.Is(err, away) {
		t.Fatalf("failed with %v", err)
	}
	r.send(text(3, "barrier", "")) // the leases before it have been applied
	state, err := r.Groups(t.Context(), "g")
	if err != nil || state[0].Committed != 0 {
		t.Fatalf("it must stay unsettled while it cannot be moved: %+v, %v", state, err)
	}
	r.dead.fail(nil)
	for {
		r.clock.Advance(2 * time.Second)
		if o, ok := receiveNow(moved); ok {
			if o != 0 {
				t.Fatalf("moved offset %d", o)
			}
			break
		}
	}
	f, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: message.Queue{Topic: deadTopic}, Max: 10, MaxBytes: 1 << 20})
	if err != nil || len(f.Messages) != 1 {
		t.Fatalf("dead letters: %+v, %v", f, err)
	}
	m, err := message.DecodeStored(f.Messages[0].Stored)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		message.PropertyDeadLetterTopic: "orders", message.PropertyDeadLetterID: "id-poison",
		message.PropertyTag: "tag", message.PropertyKeys: "key", message.PropertyReconsumeTimes: "3",
	} {
		if got, _ := message.Property(m.Properties, key); string(got) != want {
			t.Errorf("property %s is %q, want %q", key, got, want)
		}
	}
	if m.Topic != "%DLQ%g" || string(m.Body) != "poison" {
		t.Errorf("dead letter %q in %s", m.Body, m.Topic)
	}
	if state, err = r.Groups(t.Context(), "g"); err != nil || state[0].Committed != 1 {
		t.Fatalf("after the move: %+v, %v", state, err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func receiveNow[T any](c chan T) (v T, ok bool) {
	select {
	case v = <-c:
		return v, true
	default:
		return v, false
	}
}

func TestDeadLetterByHandle(t *testing.T) {
	r := newRig(t, newMemFS(5), 5)
	r.send(text(0, "a", ""))
	got := r.lease(leaseRequest("g", 1))
	for range 2 { // the second time it has gone already
		if err := r.DeadLetter(t.Context(), got[0].Handle); err != nil {
			t.Fatal(err)
		}
	}
	if next := r.table.Next(message.Queue{Topic: deadTopic}); next != 1 {
		t.Errorf("%d dead letters, want 1", next)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestWaitWakesOnArrival(t *testing.T) {
	r := newRig(t, newMemFS(6), 6)
	r.send(text(0, "first", ""))
	r.ack(r.lease(leaseRequest("g", 1))...)
	empty, err := r.Lease(t.Context(), leaseRequest("g", 1))
	if err != nil || len(empty.Deliveries) != 0 {
		t.Fatalf("lease: %v, %v", empty, err)
	}
	woken := make(chan error, 1)
	wait := &storelayer.WaitRequest{Group: "g", Generation: 1, Topic: testTopic, Queues: []message.QueueID{0}, Token: empty.Token}
	go func() { woken <- r.Wait(t.Context(), wait) }()
	r.send(text(0, "second", ""))
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	if got := r.lease(leaseRequest("g", 1)); bodies(got) != "second#1" {
		t.Fatalf("lease: %s", bodies(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ctx, &storelayer.WaitRequest{Group: "g", Generation: 1, Topic: testTopic, Token: r.waiters.token(testTopic)}); !errors.Is(err, context.Canceled) {
		t.Fatalf("wait on an ended context: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestChangeMakesVisibleAtOnce(t *testing.T) {
	r := newRig(t, newMemFS(7), 7)
	r.send(text(0, "a", ""))
	got := r.lease(leaseRequest("g", 1))
	h, err := r.Change(t.Context(), &storelayer.ChangeRequest{Handle: got[0].Handle})
	if err != nil {
		t.Fatal(err)
	}
	again := r.lease(leaseRequest("g", 1))
	if bodies(again) != "a#2" {
		t.Fatalf("lease after a nack: %s", bodies(again))
	}
	for _, old := range []storelayer.Handle{h, got[0].Handle} {
		if _, err := r.Change(t.Context(), &storelayer.ChangeRequest{Handle: old}); !errors.Is(err, storelayer.ErrInvalidHandle) {
			t.Errorf("a handle of the delivery before changes the lease: %v", err)
		}
	}
	r.ack(again...)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestReleaseCountsNoAttempt(t *testing.T) {
	r := newRig(t, newMemFS(8), 8)
	r.send(text(0, "a", ""))
	got := r.lease(leaseRequest("g", 1))
	if err := r.Release(t.Context(), []storelayer.Handle{got[0].Handle}); err != nil {
		t.Fatal(err)
	}
	if again := r.lease(leaseRequest("g", 1)); bodies(again) != "a#1" {
		t.Fatalf("lease after a release: %s", bodies(again))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestGoneEndsAutoLeases(t *testing.T) {
	r := newRig(t, newMemFS(9), 9)
	r.send(text(0, "a", ""))
	req := leaseRequest("g", 1)
	req.AutoRenew, req.Client = true, "dying"
	if got := r.lease(req); len(got) != 1 {
		t.Fatal("no lease")
	}
	r.clock.Advance(20 * time.Second)
	other := leaseRequest("g", 1)
	if got := r.lease(other); len(got) != 0 {
		t.Fatalf("an auto-renewed lease ended while its client lives: %s", bodies(got))
	}
	if err := r.Gone(t.Context(), "dying"); err != nil {
		t.Fatal(err)
	}
	if got := r.lease(other); bodies(got) != "a#2" {
		t.Fatalf("lease after its client has gone: %s", bodies(got))
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestLookup(t *testing.T) {
	r := newRig(t, newMemFS(10), 10)
	r.send(text(0, "a", "", "k1", "k2"), text(1, "b", "", "k1"))
	for _, test := range []struct {
		kind message.IndexKind
		text string
		want int
	}{{message.IndexByKey, "k1", 2}, {message.IndexByKey, "k2", 1}, {message.IndexByKey, "k3", 0}, {message.IndexByID, "id-b", 1}} {
		found, err := r.Lookup(t.Context(), &storelayer.LookupRequest{Topic: testTopic, Kind: test.kind, Text: test.text, Max: 10})
		if err != nil || len(found) != test.want {
			t.Errorf("lookup %q: %d found, %v; want %d", test.text, len(found), err, test.want)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	r := newRig(t, newMemFS(11), 11)
	_, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, "a", "")}, Ack: storelayer.AckReplicated})
	if !errors.Is(err, storelayer.ErrNotReplicated) {
		t.Errorf("ack replicated: %v", err)
	}
	var out *storelayer.OffsetOutOfRangeError
	if _, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: message.Queue{Topic: testTopic}, Offset: 5, Max: 1}); !errors.As(err, &out) {
		t.Errorf("fetch beyond the end: %v", err)
	}
	r.disk.mark = 1 << 62
	r.disk.check()
	if _, err := r.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{text(0, "a", "")}}); !errors.Is(err, storelayer.ErrDiskMark) {
		t.Errorf("append below the disk mark: %v", err)
	}
	if err := r.DeleteTopic(t.Context(), testTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Queue(t.Context(), message.Queue{Topic: testTopic}); !errors.Is(err, storelayer.ErrQueueNotFound) {
		t.Errorf("queue of a deleted topic: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Append(t.Context(), &storelayer.AppendRequest{}); !errors.Is(err, storelayer.ErrClosed) {
		t.Errorf("append to a closed shard: %v", err)
	}
}

// TestRefusedBehindAFullDisk: what the log refuses for want of room, before or after it was admitted, is known not to
// be stored; what waited with its bytes in a failed frame is not.
func TestRefusedBehindAFullDisk(t *testing.T) {
	if err := unknown(commitlog.ErrFull); !errors.Is(err, storelayer.ErrDiskMark) || errors.Is(err, storelayer.ErrUnknown) {
		t.Errorf("full: %v", err)
	}
	if err := unknown(fmt.Errorf("%w: %w", commitlog.ErrFenced, commitlog.ErrFull)); !errors.Is(err, storelayer.ErrUnknown) {
		t.Errorf("fenced: %v", err)
	}
}
