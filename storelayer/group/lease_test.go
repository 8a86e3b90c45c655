package group

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

func TestLeaseAckExpire(t *testing.T) {
	b := newBench(t)
	hs := b.wantTaken(b.input(5, 3), "[0#1 1#1 2#1]")
	b.wantAck(hs[1], nil)
	b.wantCommitted(0)
	b.wantAck(hs[1], nil) // again: still no error
	b.wantAck(hs[0], nil)
	b.wantCommitted(2)

	b.m.Now += 10_000 // the lease of 2 has ended, and nobody has it yet
	due, ok := b.g.NextDue(b.m, testQueue)
	if !ok || due != hs[2].Deadline {
		t.Fatalf("next due %d %t, want %d", due, ok, hs[2].Deadline)
	}
	if !b.g.HasReady(b.m, testQueue, 3) {
		t.Error("nothing is ready though a lease has ended")
	}
	b.wantChange(hs[2], 5_000, nil)
	b.wantTaken(b.input(3, 3), "[]")
	b.m.Now += 5_000
	again := b.wantTaken(b.input(4, 3), "[2#2 3#1]")
	b.wantAck(hs[2], errBad[bad])
	b.wantChange(hs[2], 0, errBad[bad])
	b.wantAck(again[0], nil)
	b.wantAck(hs[2], nil) // settled, whoever did it
	b.wantCommitted(3)
}

func TestRetriesComeByDeadline(t *testing.T) {
	b := newBench(t)
	hs := b.wantTaken(b.input(4, 4), "[0#1 1#1 2#1 3#1]")
	b.wantChange(hs[3], 100, nil)
	b.wantChange(hs[1], 300, nil)
	b.wantChange(hs[0], 300, nil)
	b.wantChange(hs[2], 200, nil)
	b.m.Now += 300
	b.wantTaken(b.input(6, 5), "[3#2 2#2 0#2 1#2 4#1]")
}

func TestReleaseIsNoAttempt(t *testing.T) {
	b := newBench(t)
	hs := b.wantTaken(b.input(2, 2), "[0#1 1#1]")
	b.submit(b.g.Release(b.m, hs))
	b.submit(b.g.Release(b.m, hs)) // twice is once
	hs = b.wantTaken(b.input(2, 2), "[0#1 1#1]")
	b.wantChange(hs[0], 0, nil)
	b.wantTaken(b.input(2, 2), "[0#2]")
}

func TestAutoRenewal(t *testing.T) {
	b := newBench(t)
	b.m.Now = 1_000_000
	auto := func(end message.Offset, n int) *LeaseInput {
		in := b.input(end, n)
		in.Auto = true
		return in
	}
	b.clients.Report(b.m.Now, "c1")
	h := b.wantTaken(auto(1, 1), "[0#1]")[0]
	if h.Deadline != b.m.Now+MaxAutoLease {
		t.Errorf("deadline %d", h.Deadline)
	}
	for range 10 {
		b.m.Now += 29_999
		b.wantTaken(b.input(1, 1), "[]")
		b.clients.Report(b.m.Now, "c1")
	}
	silent := b.m.Now
	b.m.Now += 29_999
	b.wantTaken(b.input(1, 1), "[]")
	if due, ok := b.g.NextDue(b.m, testQueue); !ok || due != silent+30_000 {
		t.Errorf("next due %d, want %d", due, silent+30_000)
	}
	b.m.Now++
	h = b.wantTaken(auto(1, 1), "[0#2]")[0]

	t.Run("three hours at most", func(t *testing.T) {
		b.m.Now = h.Deadline - 1
		b.clients.Report(b.m.Now, "c1")
		b.wantTaken(b.input(1, 1), "[]")
		b.m.Now++
		h = b.wantTaken(auto(1, 1), "[0#3]")[0]
	})
	t.Run("a restart gives sixty seconds", func(t *testing.T) {
		b.restart()
		b.m.Now += 59_999
		b.wantTaken(b.input(1, 1), "[]")
		b.m.Now++
		in := auto(1, 1)
		in.MaxAttempts = 9
		h = b.wantTaken(in, "[0#4]")[0]
	})
	t.Run("a client that says goodbye", func(t *testing.T) {
		b.clients.Report(b.m.Now, "c1")
		if s := b.g.ClientGone(b.m, "c2"); !s.Empty() {
			t.Error("a stranger's goodbye ended leases")
		}
		b.submit(b.g.ClientGone(b.m, "c1"))
		in := auto(1, 1)
		in.MaxAttempts = 9
		h = b.wantTaken(in, "[0#5]")[0]
	})
	t.Run("a change ends the renewal", func(t *testing.T) {
		b.wantChange(h, 1_000, nil)
		b.clients.Report(b.m.Now, "c1")
		b.m.Now += 1_000
		in := b.input(1, 1)
		in.MaxAttempts = 9
		b.wantTaken(in, "[0#6]")
	})
}

func TestGoneFitsAFrame(t *testing.T) {
	b := newBench(t)
	b.clients.Report(b.m.Now, "c1")
	const leases = maxGone + 10
	for left := leases; left > 0; left -= MaxLease {
		in := b.input(leases, MaxLease)
		in.Auto = true
		b.take(in)
	}
	b.clients.Gone(b.m.Now, "c1")
	step := b.g.ClientGone(b.m, "c1")
	if n := len(step.Records[0].Body); len(step.Records) != 1 || n > 4<<20 {
		t.Errorf("%d records, the first of %d bytes", len(step.Records), n)
	}
	b.submit(step)
	b.m.Now += clientSilent
	if c, _ := b.g.Counts(b.m, testQueue, 0, leases); c.InFlight != 0 || c.Ready != leases {
		t.Errorf("counts %+v", c)
	}
	if d := b.g.Lease(b.m, b.input(leases, MaxLease)); len(d.Leased) != MaxLease {
		t.Errorf("leased %d", len(d.Leased))
	}
}

func TestBacklogGivesMemoryBack(t *testing.T) {
	b := newBench(t)
	var hs []storelayer.Handle
	for range 8 {
		hs = append(hs, b.take(b.input(8*MaxLease, MaxLease))...)
	}
	if p := b.g.queues[testQueue]; len(p.deliveries) != 8*MaxLease || p.peak < 8*MaxLease {
		t.Fatalf("%d deliveries, peak %d", len(p.deliveries), p.peak)
	}
	out := b.g.Settle(b.m, Acked, hs)
	b.submit(out.Step)
	b.wantCommitted(8 * MaxLease)
	if p := b.g.queues[testQueue]; p.peak != 0 || len(p.due.entries) != 0 {
		t.Errorf("peak %d, %d due", p.peak, len(p.due.entries))
	}
	b.wantTaken(b.input(8*MaxLease+1, 1), "[8192#1]")
}

func TestFull(t *testing.T) {
	b := newBench(t)
	const limit = 5000
	b.g.maxDeliveries = limit
	var first storelayer.Handle
	for o := message.Offset(0); o < limit; o += MaxLease {
		in := b.input(limit+10, MaxLease)
		in.Deadline = 1 << 50
		hs := b.take(in)
		if o == 0 {
			first = hs[0]
		}
	}
	d := b.g.Lease(b.m, b.input(limit+10, 5))
	if !d.Full || len(d.Leased) != 0 || b.g.HasReady(b.m, testQueue, limit+10) {
		t.Errorf("full %t, leased %v", d.Full, d.Leased)
	}
	b.wantAck(first, nil)
	b.wantTaken(b.input(limit+10, 5), fmt.Sprintf("[%d#1]", limit))
}

func TestFilter(t *testing.T) {
	b := newBench(t)
	in := b.input(8, 2)
	in.Match = func(o message.Offset) bool { return o%3 == 2 }
	d := b.g.Lease(b.m, in)
	b.submit(d.Step)
	if want := []Run{{0, 2}, {3, 5}}; !slices.Equal(d.Filtered, want) {
		t.Errorf("filtered %v, want %v", d.Filtered, want)
	}
	if want := []Delivery{{2, 1}, {5, 1}}; !slices.Equal(d.Leased, want) {
		t.Errorf("leased %v, want %v", d.Leased, want)
	}
	b.wantCommitted(2)

	b.m.Now += 10_000
	in = b.input(8, 2)
	in.Match = func(o message.Offset) bool { return o == 5 } // the filter has changed
	b.wantTaken(in, "[5#2]")
	b.wantCommitted(5)
}

func TestFilterScanIsBounded(t *testing.T) {
	b := newBench(t)
	in := b.input(2*scanLimit+10, 1)
	in.Match = func(o message.Offset) bool { return o == 2*scanLimit+5 }
	for range 2 {
		d := b.g.Lease(b.m, in)
		b.submit(d.Step)
		if !d.More || len(d.Leased) != 0 {
			t.Fatalf("more %t, leased %v", d.More, d.Leased)
		}
	}
	b.wantCommitted(2 * scanLimit)
	if d := b.g.Lease(b.m, in); d.More || len(d.Leased) != 1 {
		t.Fatalf("more %t, leased %v", d.More, d.Leased)
	}
}

func TestExpired(t *testing.T) {
	b := newBench(t)
	hs := b.wantTaken(b.input(10, 4), "[0#1 1#1 2#1 3#1]")
	b.wantAck(hs[1], nil)
	in := b.input(10, 1)
	in.First = 6
	d := b.g.Lease(b.m, in)
	b.submit(d.Step)
	if d.Expired != 5 || len(d.Leased) != 1 || d.Leased[0].Offset != 6 {
		t.Errorf("expired %d, leased %v", d.Expired, d.Leased)
	}
	b.wantCommitted(6)
	b.wantAck(hs[0], nil) // settled, if not by its consumer
	if c, ok := b.g.Counts(b.m, testQueue, 6, 10); !ok || c != (Counts{Committed: 6, Ready: 3, InFlight: 1, Lag: 4}) {
		t.Errorf("counts %+v", c)
	}
}

func TestClientNames(t *testing.T) {
	b := newBench(t)
	for i := range message.Offset(5 * namesLimit) {
		in := b.input(i+1, 1)
		in.Client = fmt.Sprintf("client-%d", i)
		hs := b.take(in)
		if i%10 != 0 {
			b.wantAck(hs[0], nil)
		}
	}
	if n := len(b.g.names.names); n > 2*namesLimit {
		t.Errorf("%d names", n)
	}
	for o, d := range b.g.queues[testQueue].deliveries {
		if got, want := b.g.names.names[d.client], fmt.Sprintf("client-%d", o); got != want {
			t.Fatalf("delivery %d is of %s", o, got)
		}
	}
}
