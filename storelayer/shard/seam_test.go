package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// hookedBucket does something before each read of a message.
type hookedBucket struct {
	*bucket

	before func(context.Context) error
}

func (b *hookedBucket) Read(ctx context.Context, q message.Queue, offset message.Offset) ([]byte, error) {
	if err := b.before(ctx); err != nil {
		return nil, err
	}
	return b.bucket.Read(ctx, q, offset)
}

// newColdRig is a shard with 60 messages in queue 0, a second apart from testWall on, whose full segments are in the
// bucket only; it returns how many messages that are.
func newColdRig(t *testing.T) (*rig, *hookedBucket, int) {
	t.Helper()
	b := &hookedBucket{bucket: &bucket{stored: map[message.Queue]map[message.Offset][]byte{}}, before: func(context.Context) error { return nil }}
	r := newRig(t, memfs.New(23), 23)
	r.opts.Bucket, r.Shard.opts.Bucket = b, b
	body := string(bytes.Repeat([]byte("x"), 8000))
	for i := range 60 {
		r.send(text(0, fmt.Sprintf("%d%s", i, body), ""))
		r.clock.Advance(time.Second)
	}
	sealed := b.sealAll(t, r.Shard)
	if sealed < 10 || sealed > 59 {
		t.Fatalf("%d of 60 messages were sealed", sealed)
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r, b, sealed
}

// A group that starts at a time that only the bucket still has must not begin at the first local message.
func TestGroupStartsAtATimeInTheBucket(t *testing.T) {
	r, _, sealed := newColdRig(t)
	for _, offset := range []message.Offset{0, 5, message.Offset(sealed) - 1, message.Offset(sealed), message.Offset(sealed) + 1} {
		req := leaseRequest(fmt.Sprintf("from-%d", offset), 1)
		req.Start = storelayer.StartFrom{Policy: storelayer.StartAtTime, Time: testWall.Add(time.Duration(offset) * time.Second).UnixMilli()}
		if got := r.lease(req); len(got) != 1 || got[0].Handle.Offset != offset {
			t.Errorf("start at the time of offset %d, %d are in the bucket: leased %+v", offset, sealed, got)
		}
	}
}

// What a lease finds gone may have been sealed while it was under way: it must name a seal that has that.
func TestLeaseNamesASealThatHasItsMessages(t *testing.T) {
	r, b, _ := newColdRig(t)
	const during = 1000
	b.before = func(context.Context) error {
		r.Sealed(during)
		return nil
	}
	req := leaseRequest("g", 1)
	req.Start.Policy = storelayer.StartAuto // reads the oldest message
	got, err := r.Lease(t.Context(), req)
	if err != nil || len(got.Deliveries) != 1 || got.Deliveries[0].Record != nil {
		t.Fatalf("leased %+v, %v", got.Deliveries, err)
	}
	if got.Tier.SealSequence < during {
		t.Errorf("the lease names seal %d, its message may be in seal %d", got.Tier.SealSequence, during)
	}
}

// A bucket that hangs while a group finds its start must hold nobody else: neither the group's other calls, nor those
// who wait for the log to be applied.
func TestSlowBucketHoldsNoLock(t *testing.T) {
	r, b, _ := newColdRig(t)
	reading, answer := make(chan struct{}), make(chan struct{})
	b.before = func(ctx context.Context) error {
		close(reading)
		select {
		case <-answer:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	req := leaseRequest("g", 1)
	req.Start.Policy = storelayer.StartAuto
	leased := make(chan error, 1)
	go func() {
		got, err := r.Lease(t.Context(), req)
		if err == nil && (len(got.Deliveries) != 1 || got.Deliveries[0].Handle.Offset != 0) {
			err = fmt.Errorf("leased %+v", got.Deliveries)
		}
		leased <- err
	}()
	<-reading
	others := make(chan error, 1)
	go func() {
		_, err := r.Groups(t.Context(), "g")
		hot := leaseRequest("g", 1)
		hot.Queues = []message.QueueID{1}
		r.send(text(1, "hot", ""))
		got, leaseErr := r.Lease(t.Context(), hot)
		if leaseErr == nil && len(got.Deliveries) != 1 {
			leaseErr = fmt.Errorf("leased %+v of a hot queue", got.Deliveries)
		}
		others <- errors.Join(err, leaseErr)
	}()
	select {
	case err := <-others:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a bucket that hangs holds up the others of the group")
	}
	close(answer)
	if err := <-leased; err != nil {
		t.Error(err)
	}
}

// A wait for some queues must not end for a lease of another one that is due: who waits may not lease from that, and would
// wait again at once, for ever.
func TestWaitLeavesOutOtherQueues(t *testing.T) {
	r, _, _ := newColdRig(t)
	got := r.lease(leaseRequest("g", 1))
	if err := r.Release(t.Context(), []storelayer.Handle{got[0].Handle}); err != nil {
		t.Fatal(err)
	}
	req := leaseRequest("g", 1)
	req.Queues = []message.QueueID{1, 2, 3}
	again, err := r.Lease(t.Context(), req)
	if err != nil || len(again.Deliveries) != 0 {
		t.Fatalf("leased %+v, %v", again.Deliveries, err)
	}
	wait := func(queues ...message.QueueID) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return r.Wait(ctx, &storelayer.WaitRequest{Group: "g", Generation: 1, Topic: testTopic, Queues: queues, Token: again.Token})
	}
	if err := wait(req.Queues...); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a wait for other queues ended: %v", err)
	}
	if err := wait(0, 1); err != nil {
		t.Errorf("a wait for the queue with a due lease: %v", err)
	}
}
