package group

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// bench is a group with a log of its own, in which every step is durable at once unless it is held back.
type bench struct {
	t       *testing.T
	g       *Group
	m       Moment
	clients *Clients
	at      message.Position
	lease   uint64
	log     []logged
	hold    bool // steps wait for land, or are lost with restart
	held    []message.Record
}

var testQueue = message.Queue{Topic: testTopic, ID: 1}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, g: New(testKey), clients: NewClients(0), at: 4096}
	b.m = Moment{Now: 100_000, Epoch: 1, Horizon: b.clients.Horizon}
	return b
}

func (b *bench) submit(s Step) {
	b.t.Helper()
	b.held = append(b.held, s.Records...)
	if !b.hold {
		b.land()
	}
}

func (b *bench) land() {
	b.t.Helper()
	for _, rec := range b.held {
		if err := b.g.Apply(rec, b.at); err != nil {
			b.t.Fatal(err)
		}
		b.log = append(b.log, logged{rec: rec, at: b.at})
		b.at += 100
	}
	b.held = nil
}

// restart loses what is held, and begins a new epoch.
func (b *bench) restart() {
	b.t.Helper()
	b.held, b.hold = nil, false
	b.g = New(testKey)
	for _, l := range b.log {
		if err := b.g.Apply(l.rec, l.at); err != nil {
			b.t.Fatal(err)
		}
	}
	b.m.Epoch++
	b.lease = 0
	b.clients = NewClients(b.m.Now)
	b.m.Horizon = b.clients.Horizon
}

func (b *bench) input(end message.Offset, n int) *LeaseInput {
	b.lease++
	return &LeaseInput{
		Queue: testQueue, Next: end, Max: n, MaxAttempts: 3, Deadline: b.m.Now + 10_000, Client: "c1", Lease: b.lease,
	}
}

// take leases up to n messages and returns their handles.
func (b *bench) take(in *LeaseInput) []storelayer.Handle {
	b.t.Helper()
	d := b.g.Lease(b.m, in)
	b.submit(d.Step)
	var out []storelayer.Handle
	for _, l := range d.Leased {
		out = append(out, storelayer.Handle{
			Queue: testQueue, Offset: l.Offset, Group: testKey.Name, Generation: testKey.Generation,
			Epoch: b.m.Epoch, Lease: in.Lease, Attempt: l.Attempt, Deadline: d.Deadline,
		})
	}
	return out
}

func (b *bench) wantTaken(in *LeaseInput, want string) []storelayer.Handle {
	b.t.Helper()
	hs := b.take(in)
	var got []string
	for _, h := range hs {
		got = append(got, fmt.Sprintf("%d#%d", h.Offset, h.Attempt))
	}
	if fmt.Sprint(got) != want {
		b.t.Fatalf("leased %v, want %s", got, want)
	}
	return hs
}

func (b *bench) wantAck(h storelayer.Handle, want error) {
	b.t.Helper()
	out := b.g.Settle(b.m, Acked, []storelayer.Handle{h})
	b.submit(out.Step)
	if out.Errs[0] != want { //nolint:errorlint // the sentinel itself is the answer
		b.t.Fatalf("ack of %d: %v, want %v", h.Offset, out.Errs[0], want)
	}
}

func (b *bench) wantChange(h storelayer.Handle, after int64, want error) {
	b.t.Helper()
	out := b.g.ChangeVisibility(b.m, h, b.m.Now+after, false)
	b.submit(out.Step)
	if out.Errs[0] != want { //nolint:errorlint // the sentinel itself is the answer
		b.t.Fatalf("change of %d: %v, want %v", h.Offset, out.Errs[0], want)
	}
}

func (b *bench) wantCommitted(want message.Offset) {
	b.t.Helper()
	if got, ok := b.g.Committed(testQueue); !ok || got != want {
		b.t.Fatalf("committed %d %t, want %d", got, ok, want)
	}
}

const bad = true

var errBad = map[bool]error{bad: storelayer.ErrInvalidHandle}

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

// TestLostLease: a power cut takes the record of a lease; its handle lives on until its deadline.
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

// TestGoneFitsAFrame: a client with very many leases does not make a step that no frame takes.
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

// TestBacklogGivesMemoryBack: maps that a backlog has made large go with it.
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

// TestFull: a group that settles nothing stops at its bound, and goes on once it settles.
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

// TestAbort undoes a refused step, with the steps behind it kept.
func TestAbort(t *testing.T) {
	b := newBench(t)
	b.hold = true
	first := b.g.Lease(b.m, b.input(4, 2))
	second := b.g.Lease(b.m, b.input(4, 2))
	b.g.Abort(first.ID)
	third := b.g.Lease(b.m, b.input(4, 4))
	if len(third.Leased) != 2 || third.Leased[0].Offset != 0 {
		t.Fatalf("leased %v", third.Leased)
	}
	b.submit(second.Step)
	b.submit(third.Step)
	b.land()
	if len(b.g.flying) != 0 || len(b.g.queues[testQueue].over) != 0 {
		t.Errorf("%d on their way, overlay %v", len(b.g.flying), b.g.queues[testQueue].over)
	}
	if b.hold = false; b.g.HasReady(b.m, testQueue, 4) {
		t.Error("all four are leased")
	}
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

func TestTopicDelete(t *testing.T) {
	b := newBench(t)
	h := b.wantTaken(b.input(1, 1), "[0#1]")[0]
	b.submit(Step{Records: []message.Record{{Type: message.RecordTopicDelete, Topic: testTopic, Body: TopicDeleteRecord{}.AppendTo(nil)}}})
	b.wantAck(h, errBad[bad])
	if len(b.g.Queues()) != 0 {
		t.Errorf("queues %v", b.g.Queues())
	}
}

func TestRunSet(t *testing.T) {
	var s runSet
	for o := message.Offset(0); o < 10_000; o += 2 {
		s.add(Run{First: o, End: o + 1})
	}
	if s.runs() != 5000 || s.count != 5000 {
		t.Fatalf("%d runs, %d offsets", s.runs(), s.count)
	}
	for _, chunk := range s.chunks {
		if len(chunk) >= chunkRuns {
			t.Errorf("chunk of %d runs", len(chunk))
		}
	}
	for o := message.Offset(9_999); o > 0; o -= 2 {
		s.add(Run{First: o, End: o + 1})
	}
	if run, ok := s.first(); !ok || s.runs() != 1 || run != (Run{0, 10_000}) {
		t.Fatalf("%v, %d runs", run, s.runs())
	}
	s.trim(400)
	if s.count != 9_600 || s.countIn(Run{0, 500}) != 100 {
		t.Errorf("%d offsets, %d below 500", s.count, s.countIn(Run{0, 500}))
	}
}

func TestClientsSweep(t *testing.T) {
	c := NewClients(0)
	c.Report(100_000, "a", "b")
	c.Gone(100_001, "b")
	if a, b := c.Horizon("a"), c.Horizon("b"); a != 130_000 || b != 100_001 {
		t.Errorf("horizons %d, %d", a, b)
	}
	c.Sweep(130_001)
	if len(c.mu.seen) != 0 || len(c.mu.gone) != 0 {
		t.Errorf("%d seen, %d gone", len(c.mu.seen), len(c.mu.gone))
	}
	if got := c.Horizon("a"); got != 60_000 {
		t.Errorf("horizon of a stranger %d", got)
	}
}

// TestClientNames: names that no delivery has are forgotten.
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
