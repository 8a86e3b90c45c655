package shard

import (
	"fmt"
	"testing"

	"github.com/stratamq/stratamq/internal/failpoint"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// TestDeadLetterCrash cuts the power at each moment around each move to the dead-letter queue: a message
// leaves its queue only together with its copy.
func TestDeadLetterCrash(t *testing.T) {
	const messages = 4
	for _, point := range []string{"shard/before-dead-letter", "shard/after-dead-letter", "commitlog/after-write", "commitlog/after-sync"} {
		for hit := 1; hit <= 2*messages; hit++ {
			for seed := range uint64(4) {
				deadLetterCrash(t, point, hit, seed, messages)
				if t.Failed() {
					t.Fatalf("point %s, hit %d, seed %d", point, hit, seed)
				}
			}
		}
	}
}

func deadLetterCrash(t *testing.T, point string, hit int, seed uint64, messages int) {
	t.Helper()
	fsys := memfs.New(seed)
	r := newRig(t, fsys, seed)
	for i := range messages {
		r.send(text(0, fmt.Sprint(i), ""))
	}
	got := r.lease(leaseRequest("g", messages))
	n := 0 // the point is hit by one goroutine at a time: each move is waited for
	remove := failpoint.Hook(point, func() {
		if n++; n == hit {
			fsys.Stop()
		}
	})
	for _, d := range got {
		if err := r.DeadLetter(t.Context(), d.Handle); err != nil && !fsys.Stopped() {
			t.Errorf("dead letter: %v", err)
		}
	}
	fsys.Stop()
	r.cancel()
	if err := <-r.result; err == nil && n >= hit {
		t.Errorf("a shard without a disk ended well")
	}
	_ = r.Close() // what the dying shard says no longer reaches anybody
	remove()

	next := fsys.Crash(seed, memfs.CrashOptions{})
	r.fs, r.opts.FS = next, next
	r.open()
	copies := make(map[string]int)
	f, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: message.Queue{Topic: deadTopic}, Max: 100, MaxBytes: 1 << 20})
	if err != nil {
		t.Errorf("dead letters: %v", err)
	}
	for _, m := range f.Messages {
		copies[string(message.Stored(m.Stored).Body())]++
	}
	r.clock.Advance(11 * leaseRequest("g", 1).Invisible)
	for _, d := range r.lease(leaseRequest("g", messages)) {
		copies[string(message.Stored(d.Record).Body())]++
	}
	for i := range messages {
		if copies[fmt.Sprint(i)] != 1 {
			t.Errorf("message %d is in the queue and its dead letters %d times, want once", i, copies[fmt.Sprint(i)])
		}
	}
	if err := r.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
}
