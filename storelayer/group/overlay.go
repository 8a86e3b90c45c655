package group

import (
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// rebuild makes the overlay of a queue again from the durable layer and the records on their way.
func (g *Group) rebuild(p *progress) {
	p.liveStarted, p.liveFloor, p.liveNext = p.started, p.floor, p.next
	clear(p.over)
	p.passed = runSet{}
	p.resets, p.stale = 0, false
	p.due.clear()
	p.spent = nil
	for o, d := range p.deliveries {
		p.due.schedule(o, d.earliest())
	}
	for _, f := range g.flying {
		if f.queue == p.queue {
			g.reserve(p, f)
		}
	}
}

// earliest is an instant at or before the end of the lease, without knowledge of its client.
func (d delivery) earliest() int64 {
	if d.auto {
		return 0
	}
	return d.deadline
}

// reserve lets a record change the overlay.
func (g *Group) reserve(p *progress, f flight) {
	if err := g.tryReserve(p, f); err != nil {
		panic(fmt.Sprintf("group: a record of our own does not decode: %v", err))
	}
}

func (g *Group) tryReserve(p *progress, f flight) error {
	switch f.rec.Type {
	case message.RecordLease:
		if err := g.lease.decode(f.rec); err != nil {
			return err
		}
		g.reserveLease(p, &g.lease, 0)
	case message.RecordSettle:
		if err := g.settlement.decode(f.rec); err != nil {
			return err
		}
		for _, run := range g.settlement.runs {
			p.reserveRun(run, g.settlement.reason, f.overlaid)
			if !f.overlaid && g.settlement.reason == Filtered {
				p.passed.add(run) // the scan may have to begin below it again
			}
		}
	case message.RecordVisibility:
		if err := g.visibility.decode(f.rec); err != nil {
			return err
		}
		for _, it := range g.visibility.items {
			p.reserveItem(it)
		}
	case message.RecordCommit:
		v, err := decodeCommitView(f.rec)
		if err != nil {
			return err
		}
		p.reserveCommit(v.kind, v.offset)
	case message.RecordDeadLetter:
		v, err := decodeDeadLetterView(f.rec)
		if err != nil {
			return err
		}
		p.reserveSettled(v.offset)
	default:
		return fmt.Errorf("%w: %s is no record of a group's progress", message.ErrCorrupt, f.rec.Type)
	}
	return nil
}

// reserveLease overlays new leases; at is an instant at or before their end, 0 if nothing better is known.
func (g *Group) reserveLease(p *progress, v *leaseView, at int64) {
	d := delivery{lease: v.lease, deadline: v.deadline, epoch: v.epoch, auto: v.auto, client: g.client(v.client)}
	if !d.auto {
		at = d.deadline
	}
	for _, run := range v.runs {
		d.attempt = run.Attempt
		for o := run.First; o < run.First+message.Offset(run.Count); o++ {
			p.over[o] = reservation{delivery: d, refs: p.over[o].refs + 1}
			p.due.schedule(o, at)
		}
	}
}

// reserveRun overlays settled offsets. Those that nobody held before are behind liveNext, or liveFloor, already.
func (p *progress) reserveRun(run Run, reason Reason, overlaid bool) {
	switch {
	case overlaid:
		for o := run.First; o < run.End; o++ {
			p.reserveSettled(o)
		}
	case reason == Expired:
		p.liveFloor = max(p.liveFloor, run.End)
		p.liveNext = max(p.liveNext, run.End)
	}
}

func (p *progress) reserveSettled(o message.Offset) {
	p.over[o] = reservation{settled: true, refs: p.over[o].refs + 1}
	p.due.forget(o)
}

// reserveItem overlays the moved end of a lease.
func (p *progress) reserveItem(it VisibilityItem) {
	refs := p.over[it.Offset].refs + 1
	d, st := p.look(it.Offset)
	if st == settled {
		p.over[it.Offset] = reservation{settled: true, refs: refs}
		return
	}
	d = moved(d, st, it)
	p.over[it.Offset] = reservation{delivery: d, refs: refs}
	p.due.schedule(it.Offset, d.earliest())
}

// moved returns what a visibility item makes of an unsettled offset. A lease that is newer than the item's stays
// as it is; one that the log has lost comes into being.
func moved(d delivery, st status, it VisibilityItem) delivery {
	switch {
	case st == leased && d.epoch == it.Epoch && d.lease == it.Lease:
		d.deadline, d.auto, d.uncounted = it.Deadline, false, it.Uncounted
		return d
	case st == leased && !before(d.epoch, d.lease, it.Epoch, it.Lease):
		return d
	}
	return delivery{
		lease: it.Lease, deadline: it.Deadline, epoch: it.Epoch,
		client: d.client, attempt: it.Attempt, uncounted: it.Uncounted,
	}
}

func (p *progress) reserveCommit(kind CommitKind, o message.Offset) {
	switch kind {
	case CommitReset:
		p.resets++
	case CommitInit, CommitSet:
		p.liveStarted = true
		p.liveFloor = max(p.liveFloor, o)
		p.liveNext = max(p.liveNext, o)
	}
}

// release lets go of an offset that an applied record held.
func (p *progress) release(o message.Offset) {
	r := p.over[o]
	if r.refs <= 1 {
		delete(p.over, o)
		return
	}
	r.refs--
	p.over[o] = r
}
