package group

import (
	"math"
	"slices"

	"github.com/stratamq/stratamq/message"
)

// Lease chooses messages of a queue: due retries first, in the order of their deadlines, then new ones. One call looks
// at a bounded number of offsets. It answers nothing while a reset is on its way.
func (g *Group) Lease(m Moment, in *LeaseInput) Decision {
	d := Decision{Deadline: in.Deadline}
	if in.Auto {
		d.Deadline = m.Now + MaxAutoLease
	}
	p := g.progress(in.Queue)
	if p.resets > 0 {
		return d
	}
	if !p.liveStarted {
		g.emitCommit(&d.Step, p, CommitRecord{Kind: CommitInit, Offset: in.Start})
	}
	if in.First > p.liveFloor {
		g.expire(p, in.First, &d)
	}
	limit := min(in.Max, MaxLease)
	scan := scanLimit
	misfits := g.leaseRetries(m, p, in, &d, limit, &scan)
	g.leaseNew(p, in, &d, limit, &scan)

	if len(d.Filtered) > 0 {
		g.emitSettle(&d.Step, p, Filtered, d.Filtered, false)
	}
	if len(misfits) > 0 {
		runs := runsOf(misfits)
		g.emitSettle(&d.Step, p, Filtered, runs, true)
		d.Filtered = append(runs, d.Filtered...)
	}
	if len(d.Leased) > 0 {
		g.emitLease(m, p, in, &d)
	}
	return d
}

// expire gives up what lies below first.
func (g *Group) expire(p *progress, first message.Offset, d *Decision) {
	run := Run{First: p.liveFloor, End: first}
	d.Expired = int64(run.End-run.First) - p.settled.countIn(run)
	for o, r := range p.over {
		if r.settled && o >= run.First && o < run.End && !p.isSettled(o) {
			d.Expired--
		}
	}
	g.emitSettle(&d.Step, p, Expired, []Run{run}, false)
}

// leaseRetries takes due deliveries; it returns those that do not match.
func (g *Group) leaseRetries(m Moment, p *progress, in *LeaseInput, d *Decision, limit int, scan *int) []message.Offset {
	if in.MaxAttempts > p.spentMax {
		for _, o := range p.spent {
			p.due.schedule(o, 0)
		}
		p.spent, p.spentMax = nil, in.MaxAttempts
	}
	misfits := g.offsets[:0]
	for len(d.Leased) < limit {
		o, old, ok := g.peek(m, p, m.Now)
		if !ok {
			break
		}
		if *scan == 0 {
			d.More = true
			break
		}
		*scan--
		p.due.pop()
		attempt := old.nextAttempt()
		switch {
		case int(attempt) > in.MaxAttempts:
			if p.spend(o) {
				d.Exhausted = append(d.Exhausted, o)
			}
		case in.Match != nil && !in.Match(o):
			misfits = append(misfits, o)
		default:
			d.Leased = append(d.Leased, Delivery{Offset: o, Attempt: attempt})
		}
	}
	g.offsets = misfits[:0]
	return misfits
}

// leaseNew takes offsets that were never delivered.
func (g *Group) leaseNew(p *progress, in *LeaseInput, d *Decision, limit int, scan *int) {
	o := max(p.liveNext, p.liveFloor)
	for ; o < in.Next && len(d.Leased) < limit; o++ {
		if len(p.deliveries)+len(p.over)+len(d.Leased) >= g.maxDeliveries {
			d.Full = true
			break
		}
		if *scan == 0 {
			d.More = true
			break
		}
		*scan--
		if _, st := p.look(o); st != untouched {
			if run, ok := p.settled.at(o); ok {
				o = run.End - 1
			}
			continue
		}
		if in.Match == nil || in.Match(o) {
			d.Leased = append(d.Leased, Delivery{Offset: o, Attempt: 1})
		} else if n := len(d.Filtered); n > 0 && d.Filtered[n-1].End == o {
			d.Filtered[n-1].End++
		} else {
			d.Filtered = append(d.Filtered, Run{First: o, End: o + 1})
		}
	}
	p.liveNext = max(p.liveNext, o)
}

// spend notes that o has had its last attempt, and reports whether that is news.
func (p *progress) spend(o message.Offset) bool {
	i, found := slices.BinarySearch(p.spent, o)
	if !found {
		p.spent = slices.Insert(p.spent, i, o)
	}
	return !found
}

// peek returns the delivery whose lease ends first, if it ends at the instant until or before.
func (g *Group) peek(m Moment, p *progress, until int64) (message.Offset, delivery, bool) {
	for {
		e, ok := p.due.top()
		if !ok || e.at > until {
			return 0, delivery{}, false
		}
		d, st := p.look(e.offset)
		if st != leased {
			p.due.pop()
			continue
		}
		if end := g.end(m, d); end > e.at {
			p.due.pop()
			p.due.schedule(e.offset, end)
			continue
		}
		return e.offset, d, true
	}
}

// HasReady reports whether a lease in a queue, whose end is next, may find something now.
func (g *Group) HasReady(m Moment, q message.Queue, next message.Offset) bool {
	p := g.queues[q]
	if p == nil || !p.liveStarted {
		return next > 0
	}
	if p.resets > 0 {
		return false
	}
	if max(p.liveNext, p.liveFloor) < next && len(p.deliveries)+len(p.over) < g.maxDeliveries {
		return true
	}
	_, _, ok := g.peek(m, p, m.Now)
	return ok
}

// NextDue returns the earliest instant, in Unix milliseconds, at which a lease of the group in a queue ends; false if
// there is none. A client that lives on moves it, so that a caller asks again when the instant has come.
func (g *Group) NextDue(m Moment, q message.Queue) (int64, bool) {
	p := g.queues[q]
	if p == nil || p.resets > 0 {
		return 0, false
	}
	_, d, ok := g.peek(m, p, math.MaxInt64)
	if !ok {
		return 0, false
	}
	return g.end(m, d), true
}

func (g *Group) emitCommit(s *Step, p *progress, r CommitRecord) {
	r.Key, r.Queue = g.key, p.queue
	g.emit(s, p.queue, message.RecordCommit, r.AppendTo(nil), false)
	p.reserveCommit(r.Kind, r.Offset)
}

func (g *Group) emitSettle(s *Step, p *progress, reason Reason, runs []Run, overlaid bool) {
	r := SettleRecord{Key: g.key, Queue: p.queue, Reason: reason, Runs: runs}
	body := make([]byte, 0, headLen+len(g.key.Name)+settleFixedLen+settleRunLen*len(runs))
	g.emit(s, p.queue, message.RecordSettle, r.AppendTo(body), overlaid)
	for _, run := range runs {
		p.reserveRun(run, reason, overlaid)
	}
}

func (g *Group) emitLease(m Moment, p *progress, in *LeaseInput, d *Decision) {
	v := &g.lease
	v.runs = v.runs[:0]
	for _, l := range d.Leased {
		n := len(v.runs) - 1
		if n >= 0 && v.runs[n].First+message.Offset(v.runs[n].Count) == l.Offset && v.runs[n].Attempt == l.Attempt {
			v.runs[n].Count++
		} else {
			v.runs = append(v.runs, LeaseRun{First: l.Offset, Count: 1, Attempt: l.Attempt})
		}
	}
	client := clientName(in.Client)
	r := LeaseRecord{
		Key: g.key, Queue: p.queue, Epoch: m.Epoch, Lease: in.Lease, Deadline: d.Deadline,
		Auto: in.Auto, Client: client, Runs: v.runs,
	}
	body := make([]byte, 0, headLen+len(g.key.Name)+leaseFixedLen+len(client)+leaseRunLen*len(v.runs))
	g.emit(&d.Step, p.queue, message.RecordLease, r.AppendTo(body), true)
	v.epoch, v.lease, v.deadline, v.auto = m.Epoch, in.Lease, d.Deadline, in.Auto
	v.client = append(v.client[:0:0], client...)
	at := int64(0)
	if in.Auto && m.Horizon != nil {
		at = min(d.Deadline, m.Horizon(client))
	}
	g.reserveLease(p, v, at)
}

// runsOf sorts offsets in place and joins them to runs.
func runsOf(offsets []message.Offset) []Run {
	slices.Sort(offsets)
	var runs []Run
	for _, o := range offsets {
		if n := len(runs); n > 0 && o <= runs[n-1].End {
			runs[n-1].End = max(runs[n-1].End, o+1)
		} else {
			runs = append(runs, Run{First: o, End: o + 1})
		}
	}
	return runs
}
