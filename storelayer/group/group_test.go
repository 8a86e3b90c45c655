package group

import (
	"fmt"
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

// TestOldRecords: a record below the queue's position changes nothing, whatever it says; nor does the end of a lease

// that is not the last one.

func TestOldRecords(t *testing.T) {
	b := newBench(t)
	h := b.wantTaken(b.input(2, 2), "[0#1 1#1]")[0]
	b.wantChange(h, 0, nil)
	b.wantTaken(b.input(2, 2), "[0#2]")
	want := dump(t, b.g)
	for _, l := range b.log {
		if err := b.g.Apply(l.rec, l.at); err != nil {
			t.Fatal(err)
		}
		if got := dump(t, b.g); got != want {
			t.Fatalf("a %s record at %s, again:\n%s\nwant\n%s", l.rec.Type, l.at, got, want)
		}
	}
	late := VisibilityRecord{Key: testKey, Queue: testQueue, Items: []VisibilityItem{
		{Offset: 0, Epoch: h.Epoch, Lease: h.Lease, Deadline: 1, Attempt: 1},
	}}
	b.submit(Step{Records: []message.Record{{Type: message.RecordVisibility, Topic: testTopic, Body: late.AppendTo(nil)}}})
	if d := b.g.queues[testQueue].deliveries[0]; d.lease != b.lease || d.deadline == 1 {
		t.Errorf("the end of lease %d moved: %+v", h.Lease, d)
	}
}

func TestMarks(t *testing.T) {
	p := newProgress(testQueue)
	p.remember(2, 9)
	p.remember(2, 7)
	for _, c := range []struct {
		epoch message.Epoch
		lease uint64
		lost  bool
	}{{2, 9, false}, {2, 8, false}, {2, 10, true}, {1, 1, true}, {3, 1, true}} {
		if got := p.lost(c.epoch, c.lease); got != c.lost {
			t.Errorf("lease %d/%d lost: %t", c.epoch, c.lease, got)
		}
	}
	for e := range message.Epoch(maxMarks) {
		p.remember(3+e, 1)
	}
	if p.lost(2, 10) || p.lost(1, 1) || len(p.marks) != maxMarks {
		t.Errorf("%d marks, forgotten up to %d", len(p.marks), p.forgotten)
	}
}

// TestLostLease: a power cut takes the record of a lease; its handle lives on until its deadline.

// TestGoneFitsAFrame: a client with very many leases does not make a step that no frame takes.

// TestBacklogGivesMemoryBack: maps that a backlog has made large go with it.

// TestFull: a group that settles nothing stops at its bound, and goes on once it settles.

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

func TestTopicDelete(t *testing.T) {
	b := newBench(t)
	h := b.wantTaken(b.input(1, 1), "[0#1]")[0]
	b.submit(Step{Records: []message.Record{{Type: message.RecordTopicDelete, Topic: testTopic, Body: TopicDeleteRecord{}.AppendTo(nil)}}})
	b.wantAck(h, errBad[bad])
	if len(b.g.Queues()) != 0 {
		t.Errorf("queues %v", b.g.Queues())
	}
}

// TestClientNames: names that no delivery has are forgotten.
