package group

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

func TestExhaustion(t *testing.T) {
	b := newBench(t)
	var last storelayer.Handle
	for attempt := 1; attempt <= 3; attempt++ {
		last = b.wantTaken(b.input(1, 1), fmt.Sprintf("[0#%d]", attempt))[0]
		b.wantChange(last, 0, nil)
	}
	d := b.g.Lease(b.m, b.input(1, 1))
	if len(d.Leased) != 0 || !slices.Equal(d.Exhausted, []message.Offset{0}) {
		t.Fatalf("leased %v, exhausted %v", d.Leased, d.Exhausted)
	}
	if d = b.g.Lease(b.m, b.input(1, 1)); len(d.Exhausted) != 0 {
		t.Error("named twice")
	}
	if _, ok := b.g.NextDue(b.m, testQueue); ok {
		t.Error("an exhausted message is due")
	}
	if c, _ := b.g.Counts(b.m, testQueue, 0, 1); c != (Counts{Exhausted: 1, Lag: 1}) {
		t.Errorf("counts %+v", c)
	}
	b.wantTaken(&LeaseInput{Queue: testQueue, Next: 1, Max: 1, MaxAttempts: 4, Deadline: b.m.Now, Lease: b.lease + 1}, "[0#4]")
	b.lease++

	got := b.g.Exhausted(b.m, 4, 10)
	if len(got) != 1 || got[0] != (Exhausted{Queue: testQueue, Offset: 0, Attempt: 4}) {
		t.Fatalf("exhausted %+v", got)
	}
	b.wantCommitted(0) // unsettled until the record
	b.hold = true
	step := b.g.DeadLetterExhausted(b.m, got[0], message.Queue{Topic: 0xdead})
	b.submit(step)
	if s := b.g.DeadLetterExhausted(b.m, got[0], message.Queue{Topic: 0xdead}); !s.Empty() {
		t.Error("dead-lettered twice")
	}
	b.wantCommitted(0)
	b.land()
	b.wantCommitted(1)
	if got := b.g.Exhausted(b.m, 4, 10); len(got) != 0 {
		t.Errorf("exhausted after the dead letter: %+v", got)
	}
}

func TestAckSavesAnExhaustedMessage(t *testing.T) {
	b := newBench(t)
	in := b.input(1, 1)
	in.MaxAttempts = 1
	h := b.wantTaken(in, "[0#1]")[0]
	b.m.Now = h.Deadline
	e := b.g.Exhausted(b.m, 1, 10)
	if len(e) != 1 {
		t.Fatalf("exhausted %+v", e)
	}
	b.wantAck(h, nil)
	if s := b.g.DeadLetterExhausted(b.m, e[0], message.Queue{Topic: 0xdead}); !s.Empty() {
		t.Error("a settled message was dead-lettered")
	}
}

func TestChangeSavesAnExhaustedMessage(t *testing.T) {
	b := newBench(t)
	in := b.input(1, 1)
	in.MaxAttempts = 1
	h := b.wantTaken(in, "[0#1]")[0]
	b.m.Now = h.Deadline
	e := b.g.Exhausted(b.m, 1, 10)
	if len(e) != 1 {
		t.Fatalf("exhausted %+v", e)
	}
	b.wantChange(h, 500, nil)
	if s := b.g.DeadLetterExhausted(b.m, e[0], message.Queue{Topic: 0xdead}); !s.Empty() {
		t.Error("a message whose lease was prolonged went to the dead letters")
	}
	if e := b.g.Exhausted(b.m, 1, 10); len(e) != 0 {
		t.Errorf("exhausted while its lease lasts: %+v", e)
	}
	b.m.Now += 500
	if e := b.g.Exhausted(b.m, 1, 10); len(e) != 1 {
		t.Errorf("exhausted after its lease: %+v", e)
	}
}

func TestDeadLetterByHandle(t *testing.T) {
	b := newBench(t)
	hs := b.wantTaken(b.input(2, 2), "[0#1 1#1]")
	to := message.Queue{Topic: 0xdead}
	out := b.g.DeadLetter(b.m, hs[0], to)
	if out.Err != nil || !out.Copy || len(out.Records) != 1 || out.Records[0].Type != message.RecordDeadLetter {
		t.Fatalf("%+v", out)
	}
	b.submit(out.Step)
	b.wantCommitted(1)
	if out := b.g.DeadLetter(b.m, hs[0], to); out.Err != nil || out.Copy || !out.Empty() {
		t.Errorf("again: %+v", out)
	}
	stale := hs[1]
	stale.Lease += 7
	if out := b.g.DeadLetter(b.m, stale, to); out.Err == nil || !out.Empty() {
		t.Errorf("stale: %+v", out)
	}
}

func TestLostLease(t *testing.T) {
	lose := func(t *testing.T) (*bench, []storelayer.Handle) {
		b := newBench(t)
		b.wantTaken(b.input(1, 1), "[0#1]")
		b.hold = true
		hs := b.wantTaken(b.input(4, 3), "[1#1 2#1 3#1]")
		b.restart()
		return b, hs
	}
	t.Run("ack", func(t *testing.T) {
		b, hs := lose(t)
		b.wantAck(hs[1], nil)
		b.wantTaken(b.input(4, 3), "[1#1 3#1]")
		b.wantAck(hs[0], nil) // though leased again
		b.m.Now = hs[2].Deadline + 1
		b.wantAck(hs[2], errBad[bad])
	})
	t.Run("nack", func(t *testing.T) {
		b, hs := lose(t)
		b.wantChange(hs[1], 1000, nil)
		b.wantTaken(b.input(4, 3), "[1#1 3#1]")
		b.wantChange(hs[0], 0, errBad[bad])
		b.m.Now += 1000
		b.wantTaken(b.input(4, 3), "[2#2]")
	})
	t.Run("recovered leases are not lost", func(t *testing.T) {
		b := newBench(t)
		old := b.wantTaken(b.input(1, 1), "[0#1]")[0]
		b.wantChange(old, 0, nil)
		b.wantTaken(b.input(1, 1), "[0#2]")
		b.restart()
		b.wantAck(old, errBad[bad])
	})
	t.Run("the first lease of all", func(t *testing.T) {
		b := newBench(t)
		b.hold = true
		hs := b.wantTaken(b.input(3, 3), "[0#1 1#1 2#1]")
		b.restart()
		b.wantAck(hs[1], nil)
		if b.g.Knows(testQueue) {
			t.Error("an ack is no beginning")
		}
		b.wantTaken(b.input(3, 3), "[0#1 2#1]")
	})
	t.Run("beyond the queue's end", func(t *testing.T) {
		b, hs := lose(t)
		b.m.End = func(message.Queue) message.Offset { return 3 }
		b.wantAck(hs[2], errBad[bad])
		b.wantAck(hs[1], nil)
	})
	t.Run("many restarts", func(t *testing.T) {
		b := newBench(t)
		b.wantTaken(b.input(1, 1), "[0#1]")
		forged := storelayer.Handle{
			Queue: testQueue, Group: testKey.Name, Generation: testKey.Generation, Epoch: 1, Lease: 99, Offset: 5, Deadline: 1 << 40,
		}
		for i := range maxMarks {
			b.restart()
			b.take(b.input(message.Offset(2+i), 1))
		}
		b.wantAck(forged, errBad[bad]) // what epoch 1 had lost is forgotten
	})
}

func TestReset(t *testing.T) {
	for _, to := range []message.Offset{0, 2, 6} {
		b := newBench(t)
		hs := b.wantTaken(b.input(6, 4), "[0#1 1#1 2#1 3#1]")
		b.wantAck(hs[0], nil)
		b.wantAck(hs[2], nil)
		b.hold = true
		b.lease++
		b.submit(b.g.Reset(b.m, testQueue, to, b.lease))
		if b.g.HasReady(b.m, testQueue, 6) || len(b.take(b.input(6, 6))) > 0 {
			t.Error("leased while a reset is on its way")
		}
		b.land()
		b.hold = false
		b.wantCommitted(to)
		for _, h := range hs {
			b.wantAck(h, errBad[bad])
			b.wantChange(h, 0, errBad[bad])
		}
		if got := b.take(b.input(6, 6)); len(got) != int(6-to) || len(got) > 0 && got[0].Offset != to {
			t.Errorf("reset to %d: leased %+v", to, got)
		}
	}
}

func TestCommit(t *testing.T) {
	b := newBench(t)
	if _, ok := b.g.Committed(testQueue); ok {
		t.Error("an offset before any commit")
	}
	b.submit(b.g.Commit(testQueue, 0))
	b.wantCommitted(0)
	b.submit(b.g.Commit(testQueue, 7))
	if s := b.g.Commit(testQueue, 7); !s.Empty() {
		t.Error("the same offset again needs no record")
	}
	b.submit(b.g.Commit(testQueue, 3))
	b.wantCommitted(7)
	b.wantTaken(b.input(9, 5), "[7#1 8#1]")
}

func TestHandlesOfOthers(t *testing.T) {
	b := newBench(t)
	h := b.wantTaken(b.input(1, 1), "[0#1]")[0]
	for name, spoil := range map[string]func(*storelayer.Handle){
		"group":      func(h *storelayer.Handle) { h.Group = "others" },
		"generation": func(h *storelayer.Handle) { h.Generation++ },
		"queue":      func(h *storelayer.Handle) { h.Queue.ID++ },
		"topic":      func(h *storelayer.Handle) { h.Queue.Topic++ },
		"epoch":      func(h *storelayer.Handle) { h.Epoch++ },
		"lease":      func(h *storelayer.Handle) { h.Lease++ },
		"offset":     func(h *storelayer.Handle) { h.Offset = -1 },
	} {
		other := h
		spoil(&other)
		out := b.g.Settle(b.m, Acked, []storelayer.Handle{other, h})
		if out.Errs[0] == nil || out.Errs[1] != nil {
			t.Errorf("other %s: %v", name, out.Errs)
		}
		b.g.Abort(out.ID)
	}
	b.wantAck(h, nil)
}
