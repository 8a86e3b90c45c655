package group

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// world is a group with the log, the clock and the consumers around it, driven by one seed.

type world struct {
	t     *testing.T
	rng   *rand.Rand
	g     *Group
	epoch message.Epoch
	lease uint64
	now   int64
	ends  map[message.Queue]message.Offset
	first map[message.Queue]message.Offset

	log     []logged // durable and applied
	pending []logged // appended, not yet behind the watermark
	at      message.Position
	clients *Clients

	handles []storelayer.Handle
	model   *model
	started map[message.Queue]bool
	resets  map[message.Queue]int
	floors  map[message.Queue]message.Offset
}

type logged struct {
	rec message.Record
	at  message.Position
}

const testAttempts = 3

var testKey = Key{Name: "orders", Generation: 7}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), g: New(testKey), epoch: 1, now: 1_000_000, at: 4096,
		ends: map[message.Queue]message.Offset{}, first: map[message.Queue]message.Offset{},
		clients: NewClients(1_000_000), model: newModel(),
		started: map[message.Queue]bool{}, resets: map[message.Queue]int{}, floors: map[message.Queue]message.Offset{},
	}
	for i := range 2 {
		w.ends[message.Queue{Topic: 0xa1, ID: message.QueueID(i)}] = message.Offset(w.rng.IntN(20))
	}
	return w
}

func (w *world) moment() Moment {
	return Moment{
		Now: w.now, Epoch: w.epoch, Horizon: w.clients.Horizon,
		End: func(q message.Queue) message.Offset { return w.ends[q] },
	}
}

func (w *world) queue() message.Queue {
	return message.Queue{Topic: 0xa1, ID: message.QueueID(w.rng.IntN(2))}
}

// submit appends a step, or refuses it.

func (w *world) submit(s Step) bool {
	if s.Empty() {
		return true
	}
	if w.rng.IntN(12) == 0 {
		w.g.Abort(s.ID)
		return false
	}
	for _, rec := range s.Records {
		w.pending = append(w.pending, logged{rec: rec, at: w.at})
		w.at += message.Position(16 + len(rec.Body))
	}
	return true
}

// sync lets the watermark pass n pending records.

func (w *world) sync(n int) {
	for range min(n, len(w.pending)) {
		l := w.pending[0]
		w.pending = w.pending[1:]
		w.apply(w.g, l)
		w.log = append(w.log, l)
		w.model.apply(l.rec)
		w.checkFloor(l.rec)
	}
}

func (w *world) apply(g *Group, l logged) {
	if err := g.Apply(l.rec, l.at); err != nil {
		w.t.Fatalf("apply %s at %s: %v", l.rec.Type, l.at, err)
	}
}

// checkFloor: the committed offset goes back in a reset alone and passes nothing that the model has not settled.

func (w *world) checkFloor(rec message.Record) {
	for q := range w.ends {
		floor, ok := w.g.Committed(q)
		if !ok {
			continue
		}
		if rec.Type == message.RecordCommit {
			if c, err := DecodeCommit(rec); err == nil && c.Kind == CommitReset && c.Queue == q {
				w.floors[q] = floor
			}
		}
		if floor < w.floors[q] {
			w.t.Fatalf("committed offset of %s went back from %d to %d", q, w.floors[q], floor)
		}
		w.floors[q] = floor
		if want := w.model.floor(q); floor != want {
			w.t.Fatalf("committed offset of %s is %d, the model says %d", q, floor, want)
		}
	}
}

// crash loses what is not behind the watermark and begins a new epoch.

func (w *world) crash() {
	w.pending = nil
	w.g = w.replay(0)
	w.epoch++
	w.lease = 0
	w.clients = NewClients(w.now)
}

// replay makes the group again: from a snapshot of the first n records and the log, with records before them as duplicates.

func (w *world) replay(n int) *Group {
	g := New(testKey)
	for _, l := range w.log[:n] {
		w.apply(g, l)
	}
	snapshot := g.AppendSnapshot([]byte("head"))
	g, rest, err := DecodeSnapshot(append(snapshot, "tail"...)[4:])
	if err != nil || string(rest) != "tail" {
		w.t.Fatalf("snapshot after %d records: %v, rest %q", n, err, rest)
	}
	from := 0
	if n > 0 {
		from = w.rng.IntN(n + 1)
	}
	for _, l := range w.log[from:] {
		w.apply(g, l)
	}
	return g
}

func dump(t *testing.T, g *Group) string {
	t.Helper()
	var b bytes.Buffer
	if err := g.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (w *world) step() {
	q := w.queue()
	switch w.rng.IntN(20) {
	case 0, 1, 2:
		w.ends[q] += message.Offset(w.rng.IntN(6))
	case 3, 4, 5, 6:
		w.doLease(q)
	case 7, 8, 9:
		w.doSettle()
	case 10:
		w.doChange()
	case 11:
		w.doRelease()
	case 12:
		w.doDeadLetter()
	case 13:
		w.doExhausted()
	case 14:
		w.doCommit(q)
	case 15:
		w.now += int64(w.rng.IntN(40_000))
	case 16, 17:
		w.sync(w.rng.IntN(4))
	case 18:
		switch w.rng.IntN(4) {
		case 0:
			w.lease++
			offset := message.Offset(w.rng.IntN(int(w.ends[q]) + 1))
			if w.submit(w.g.Reset(w.moment(), q, offset, w.lease)) {
				w.resets[q]++
			}
		case 1:
			w.first[q] = min(w.ends[q], w.first[q]+message.Offset(w.rng.IntN(4)))
		case 2:
			client := w.client()
			w.clients.Gone(w.now, client)
			w.submit(w.g.ClientGone(w.moment(), client))
		case 3:
			w.clients.Report(w.now, w.client())
		}
	case 19:
		if w.rng.IntN(8) == 0 {
			w.crash()
		}
	}
}

func (w *world) client() string { return fmt.Sprintf("client-%d", w.rng.IntN(3)) }

func (w *world) doLease(q message.Queue) {
	w.lease++
	in := LeaseInput{
		Queue: q, Start: w.first[q], First: w.first[q], Next: w.ends[q], Max: 1 + w.rng.IntN(5), MaxAttempts: testAttempts,
		Deadline: w.now + int64(w.rng.IntN(30_000)), Client: w.client(), Lease: w.lease, Auto: w.rng.IntN(3) == 0,
	}
	if w.rng.IntN(3) == 0 {
		in.Match = func(o message.Offset) bool { return o%3 != 1 }
	}
	if in.Auto {
		w.clients.Report(w.now, in.Client)
	}
	d := w.g.Lease(w.moment(), &in)
	for _, l := range d.Leased {
		if l.Offset < w.first[q] || l.Offset >= w.ends[q] {
			w.t.Fatalf("leased offset %d outside of [%d, %d)", l.Offset, w.first[q], w.ends[q])
		}
		if int(l.Attempt) > testAttempts || l.Attempt == 0 {
			w.t.Fatalf("attempt %d", l.Attempt)
		}
	}
	if !w.submit(d.Step) {
		return
	}
	for _, l := range d.Leased {
		w.handles = append(w.handles, storelayer.Handle{
			Queue: q, Offset: l.Offset, Group: testKey.Name, Generation: testKey.Generation,
			Epoch: w.epoch, Lease: w.lease, Attempt: l.Attempt, Deadline: d.Deadline,
		})
	}
	if len(w.handles) > 60 {
		w.handles = w.handles[len(w.handles)-60:]
	}
}

func (w *world) handle() (storelayer.Handle, bool) {
	if len(w.handles) == 0 {
		return storelayer.Handle{}, false
	}
	return w.handles[w.rng.IntN(len(w.handles))], true
}

func (w *world) doSettle() {
	var hs []storelayer.Handle
	for range 1 + w.rng.IntN(4) {
		if h, ok := w.handle(); ok {
			hs = append(hs, h)
		}
	}
	out := w.g.Settle(w.moment(), Acked, hs)
	if len(out.Errs) != len(hs) {
		w.t.Fatalf("%d answers for %d handles", len(out.Errs), len(hs))
	}
	if !w.submit(out.Step) {
		return
	}
	w.sync(len(w.pending))
	for i, err := range out.Errs {
		if err == nil && !w.model.settled(hs[i].Queue, hs[i].Offset) {
			w.t.Fatalf("ack of %s/%d was answered, and it is not settled", hs[i].Queue, hs[i].Offset)
		}
	}
}

func (w *world) doChange() {
	if h, ok := w.handle(); ok {
		w.submit(w.g.ChangeVisibility(w.moment(), h, w.now+int64(w.rng.IntN(20_000)), w.rng.IntN(4) == 0).Step)
	}
}

func (w *world) doRelease() {
	if h, ok := w.handle(); ok {
		w.submit(w.g.Release(w.moment(), []storelayer.Handle{h, h}))
	}
}

func (w *world) doDeadLetter() {
	if h, ok := w.handle(); ok {
		settled, err := w.g.DeadLetterable(w.moment(), h)
		out := w.g.DeadLetter(w.moment(), h, message.Queue{Topic: 0xdead})
		if (err == nil) != (out.Err == nil) || err == nil && settled == out.Copy {
			w.t.Fatalf("dead-letterable %t, %v, but %+v", settled, err, out)
		}
		w.submit(out.Step)
	}
}

func (w *world) doExhausted() {
	for _, e := range w.g.Exhausted(w.moment(), testAttempts, 3) {
		if int(e.Attempt) < testAttempts {
			w.t.Fatalf("%+v is not past its last attempt", e)
		}
		s := w.g.DeadLetterExhausted(w.moment(), e, message.Queue{Topic: 0xdead})
		if s.Empty() {
			w.t.Fatalf("%+v was named and not taken", e)
		}
		w.submit(s)
	}
}

func (w *world) doCommit(q message.Queue) {
	if w.rng.IntN(3) == 0 {
		w.submit(w.g.Commit(q, message.Offset(w.rng.IntN(int(w.ends[q])+1))))
	}
}

// TestHistories drives random histories and compares, at random moments, the group with the reference model, and a

// group made of a snapshot at a random point and the log behind it, duplicates included.

func TestHistories(t *testing.T) {
	const histories = 1200
	for seed := range uint64(histories) {
		w := newWorld(t, seed)
		for range 120 {
			w.step()
			if t.Failed() {
				return
			}
			w.checkModel(seed)
			w.checkOverlay(seed)
		}
		w.sync(len(w.pending))
		w.checkHistory(seed)
		w.drain(seed)
	}
}

// checkHistory compares snapshots at random points, and the log behind each, with the group.

func (w *world) checkHistory(seed uint64) {
	w.t.Helper()
	want := dump(w.t, w.g)
	for range 2 {
		n := w.rng.IntN(len(w.log) + 1)
		if got := dump(w.t, w.replay(n)); got != want {
			w.t.Fatalf("seed %d: snapshot after %d of %d records:\n%s\nwant:\n%s", seed, n, len(w.log), got, want)
		}
	}
	if len(w.g.flying) != 0 {
		w.t.Fatalf("seed %d: %d records still on their way", seed, len(w.g.flying))
	}
	for _, q := range w.g.Queues() {
		p := w.g.queues[q]
		if len(p.over) != 0 || p.resets != 0 {
			w.t.Fatalf("seed %d: overlay of %s holds %v, %d resets", seed, q, p.over, p.resets)
		}
	}
}

// drain lets every lease end and settles what is leased then: nothing stays behind, and nothing comes that is settled.

func (w *world) drain(seed uint64) {
	w.t.Helper()
	w.now += MaxAutoLease
	for q, end := range w.ends {
		for {
			w.lease++
			d := w.g.Lease(w.moment(), &LeaseInput{
				Queue: q, Start: w.first[q], First: w.first[q], Next: end, Max: 10, MaxAttempts: maxAttempt, Deadline: w.now, Lease: w.lease,
			})
			w.land(d.Step)
			if len(d.Leased) == 0 {
				break
			}
			var hs []storelayer.Handle
			for _, l := range d.Leased {
				if w.model.settled(q, l.Offset) {
					w.t.Fatalf("seed %d: settled message %s/%d leased again", seed, q, l.Offset)
				}
				hs = append(hs, storelayer.Handle{
					Queue: q, Offset: l.Offset, Group: testKey.Name, Generation: testKey.Generation,
					Epoch: w.epoch, Lease: w.lease, Attempt: l.Attempt, Deadline: d.Deadline,
				})
			}
			w.land(w.g.Settle(w.moment(), Acked, hs).Step)
		}
		if floor, _ := w.g.Committed(q); floor < end {
			w.t.Fatalf("seed %d: %s is settled up to %d of %d and has nothing to lease", seed, q, floor, end)
		}
	}
}

// land appends and applies a step that is not refused.

func (w *world) land(s Step) {
	for _, rec := range s.Records {
		w.pending = append(w.pending, logged{rec: rec, at: w.at})
		w.at += message.Position(16 + len(rec.Body))
	}
	w.sync(len(w.pending))
}

func (w *world) checkModel(seed uint64) {
	w.t.Helper()
	for q := range w.ends {
		want := w.model.queue(q)
		p := w.g.queues[q]
		if p == nil {
			if want.started || len(want.settled) > 0 {
				w.t.Fatalf("seed %d: %s is not there", seed, q)
			}
			continue
		}
		for o := range w.ends[q] {
			if got := p.isSettled(o); got != w.model.settled(q, o) {
				w.t.Fatalf("seed %d: %s/%d settled %t, the model says %t", seed, q, o, got, !got)
			}
			d, ok := p.deliveries[o]
			m, mok := want.leases[o]
			if ok != mok || ok && (d.lease != m.lease || d.epoch != m.epoch || d.deadline != m.deadline ||
				d.attempt != m.attempt || d.uncounted != m.uncounted || d.auto != m.auto) {
				w.t.Fatalf("seed %d: %s/%d has delivery %+v %t, the model says %+v %t", seed, q, o, d, ok, m, mok)
			}
		}
	}
}

// checkOverlay: a decision sees what the records on their way will make of the durable layer.

func (w *world) checkOverlay(seed uint64) {
	w.t.Helper()
	if len(w.pending) == 0 {
		return
	}
	ahead := w.model.clone()
	for _, l := range w.pending {
		ahead.apply(l.rec)
	}
	for q := range w.ends {
		p := w.g.queues[q]
		if p == nil || p.resets > 0 {
			continue
		}
		for o := range w.ends[q] {
			d, st := p.look(o)
			m, ok := ahead.queue(q).leases[o]
			switch {
			case ahead.settled(q, o):
				// What a filter passes over is not in the overlay: it is behind liveNext, and nothing else.
				if st != settled && (st != untouched || o >= p.liveNext) {
					w.t.Fatalf("seed %d: %s/%d will be settled, the overlay says %d %+v", seed, q, o, st, d)
				}
			case ok:
				if st != leased || d.lease != m.lease || d.epoch != m.epoch || d.deadline != m.deadline ||
					d.attempt != m.attempt || d.uncounted != m.uncounted || d.auto != m.auto {
					w.t.Fatalf("seed %d: %s/%d will be leased as %+v, the overlay says %d %+v", seed, q, o, m, st, d)
				}
			case st != untouched || o < p.liveNext:
				w.t.Fatalf("seed %d: %s/%d will be new, the overlay says %d, next %d", seed, q, o, st, p.liveNext)
			}
		}
	}
}

// model is the group's durable layer as plainly as it can be said: a map for each thing, an offset at a time.
