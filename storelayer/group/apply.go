package group

import (
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// Apply takes a record that the watermark has passed, of this group or a topic's deletion. Records come in log order; a
// record below the position up to which its queue is current is skipped. It fails with message.ErrCorrupt, having
// changed nothing.
func (g *Group) Apply(rec message.Record, at message.Position) error {
	if rec.Type == message.RecordTopicDelete {
		if _, err := DecodeTopicDelete(rec); err != nil {
			return err
		}
		g.dropTopic(rec.Topic)
		return nil
	}
	apply, h, err := g.decode(rec)
	if err != nil {
		return err
	}
	if string(h.name) != g.key.Name || h.generation != g.key.Generation {
		return fmt.Errorf("%w: a record of group %q, generation %d, given to %q, generation %d",
			message.ErrCorrupt, h.name, h.generation, g.key.Name, g.key.Generation)
	}
	p := g.progress(h.queue)
	if at < p.current {
		return nil
	}
	f, own := g.landing(rec)
	apply(p, own && f.overlaid)
	p.current = at + 1
	p.advance()
	if p.stale || !own && g.flies(h.queue) {
		// A reset, or somebody else's record among ours: what we reserved may rest on what it changed.
		g.rebuild(p)
	}
	p.liveStarted = p.liveStarted || p.started
	p.liveFloor = max(p.liveFloor, p.floor)
	p.liveNext = max(p.liveNext, p.next)
	if len(p.passed.chunks) > 0 && !g.flies(h.queue) {
		p.passed = runSet{}
	}
	p.shrink()
	return nil
}

// flies reports whether a record of the queue is on its way.
func (g *Group) flies(q message.Queue) bool {
	for _, f := range g.flying {
		if f.queue == q {
			return true
		}
	}
	return false
}

func (g *Group) dropTopic(topic message.TopicID) {
	for q := range g.queues {
		if q.Topic == topic {
			delete(g.queues, q)
		}
	}
}

// decode decodes a record and returns what it does to its queue. With held, the record has its offsets
// in the overlay, and lets them go.
func (g *Group) decode(rec message.Record) (apply func(p *progress, held bool), h head, err error) {
	switch rec.Type {
	case message.RecordLease:
		v := &g.lease
		err = v.decode(rec)
		return func(p *progress, held bool) { g.applyLease(p, v, held) }, v.head, err
	case message.RecordSettle:
		v := &g.settlement
		err = v.decode(rec)
		return func(p *progress, held bool) { p.applySettle(v.runs, held) }, v.head, err
	case message.RecordVisibility:
		v := &g.visibility
		err = v.decode(rec)
		return func(p *progress, held bool) { p.applyVisibility(v.items, held) }, v.head, err
	case message.RecordCommit:
		v, err := decodeCommitView(rec)
		return func(p *progress, _ bool) { p.applyCommit(v) }, v.head, err
	case message.RecordDeadLetter:
		v, err := decodeDeadLetterView(rec)
		runs := []Run{{First: v.offset, End: v.offset + 1}}
		return func(p *progress, held bool) { p.applySettle(runs, held) }, v.head, err
	default:
		return nil, head{}, fmt.Errorf("%w: %s is no record of a group's progress", message.ErrCorrupt, rec.Type)
	}
}

func (g *Group) applyLease(p *progress, v *leaseView, held bool) {
	p.remember(v.epoch, v.lease)
	d := delivery{lease: v.lease, deadline: v.deadline, epoch: v.epoch, auto: v.auto, client: g.client(v.client)}
	for _, run := range v.runs {
		d.attempt = run.Attempt
		for o := run.First; o < run.First+message.Offset(run.Count); o++ {
			if !p.isSettled(o) {
				p.deliveries[o] = d
			}
			if held {
				p.release(o)
			} else {
				p.due.forget(o)
				p.due.schedule(o, d.earliest())
			}
		}
	}
}

func (p *progress) applySettle(runs []Run, held bool) {
	for _, run := range runs {
		p.settle(run)
		if held {
			for o := run.First; o < run.End; o++ {
				p.release(o)
			}
		}
	}
}

func (p *progress) applyVisibility(items []VisibilityItem, held bool) {
	for _, it := range items {
		if !p.isSettled(it.Offset) {
			d, ok := p.deliveries[it.Offset]
			st := untouched
			if ok {
				st = leased
			}
			d = moved(d, st, it)
			p.deliveries[it.Offset] = d
			if !held {
				p.due.schedule(it.Offset, d.earliest())
			}
		}
		if held {
			p.release(it.Offset)
		}
	}
}

func (p *progress) applyCommit(v commitView) {
	switch v.kind {
	case CommitReset:
		p.settled = runSet{}
		clear(p.deliveries)
		p.begin(v.offset)
		p.barrier = mark{epoch: v.epoch, lease: v.lease}
		p.stale = true
	case CommitInit:
		if !p.started {
			p.begin(v.offset)
		}
	case CommitSet:
		if !p.started {
			p.begin(v.offset)
		} else {
			p.settle(Run{First: p.floor, End: v.offset})
		}
	}
}
