package group

import (
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// verdict says what a handle is good for.
type verdict uint8

const (
	dead     verdict = iota
	done             // its message is settled, durably
	settling         // its message is settled by a record on its way
	live             // its lease is the last one of its message
	gone             // its lease went with the tail of the log in a restart
)

// judge says what a handle is good for.
//
// A lease is good while no other lease of its offset follows, whatever its deadline says. One of an earlier epoch with a
// number above the last that this queue recovered of that epoch was lost: a consumer has the message, and the
// log does not know it. Until its deadline such a handle still counts.
func (g *Group) judge(m Moment, h *storelayer.Handle) verdict {
	if h.Group != g.key.Name || h.Generation != g.key.Generation ||
		h.Offset < 0 || h.Epoch > m.Epoch || m.End != nil && h.Offset >= m.End(h.Queue) {
		return dead
	}
	lost := h.Epoch < m.Epoch && m.Now <= h.Deadline
	p := g.queues[h.Queue]
	if p == nil {
		if lost {
			return gone
		}
		return dead
	}
	if p.resets > 0 || !before(p.barrier.epoch, p.barrier.lease, h.Epoch, h.Lease) {
		return dead
	}
	if p.isSettled(h.Offset) {
		return done
	}
	d, st := p.look(h.Offset)
	switch {
	case st == settled:
		return settling
	case st == leased && d.epoch == h.Epoch && d.lease == h.Lease:
		return live
	case lost && p.lost(h.Epoch, h.Lease):
		return gone
	default:
		return dead
	}
}

// Settle settles messages by their handles, of this group: acked by the consumer, or found not to match after all.
// Handles of one queue that stand side by side make one record.
func (g *Group) Settle(m Moment, reason Reason, handles []storelayer.Handle) Outcome {
	out := Outcome{Errs: make([]error, len(handles))}
	var queue message.Queue
	offsets := g.offsets[:0]
	flush := func() {
		if len(offsets) > 0 {
			g.emitSettle(&out.Step, g.progress(queue), reason, runsOf(offsets), true)
			offsets = offsets[:0]
		}
	}
	for i := range handles {
		h := &handles[i]
		switch g.judge(m, h) {
		case live, gone, settling:
			if h.Queue != queue {
				flush()
				queue = h.Queue
			}
			offsets = append(offsets, h.Offset)
		case done:
		case dead:
			out.Errs[i] = storelayer.ErrInvalidHandle
		}
	}
	flush()
	g.offsets = offsets
	return out
}

// ChangeVisibility moves the end of a handle's lease to a deadline, in Unix milliseconds; a deadline at or before now makes
// the message visible at once. An auto-renewed lease is no longer renewed. With uncounted the delivery does not
// count as an attempt. The handle stays good; one with the new deadline is good beside it.
func (g *Group) ChangeVisibility(m Moment, h storelayer.Handle, deadline int64, uncounted bool) Outcome {
	out := Outcome{Errs: []error{nil}}
	verdict := g.judge(m, &h)
	if verdict == gone && !g.follows(&h) {
		verdict = dead
	}
	if verdict != live && verdict != gone {
		out.Errs[0] = storelayer.ErrInvalidHandle
		return out
	}
	g.emitVisibility(&out.Step, g.progress(h.Queue), []VisibilityItem{{
		Offset: h.Offset, Epoch: h.Epoch, Lease: h.Lease, Deadline: deadline, Attempt: h.Attempt, Uncounted: uncounted,
	}})
	return out
}

// follows reports whether the lost lease of a handle is newer than every lease of its offset that is known.
func (g *Group) follows(h *storelayer.Handle) bool {
	p := g.queues[h.Queue]
	if p == nil {
		return true
	}
	d, st := p.look(h.Offset)
	return st != leased || before(d.epoch, d.lease, h.Epoch, h.Lease)
}

// Release ends leases at once as if they had not been: no attempt is counted. Dead handles are skipped.
func (g *Group) Release(m Moment, handles []storelayer.Handle) Step {
	var step Step
	var queue message.Queue
	var items []VisibilityItem
	flush := func() {
		if len(items) > 0 {
			g.emitVisibility(&step, g.progress(queue), items)
			items = items[:0]
		}
	}
	for i := range handles {
		h := &handles[i]
		if g.judge(m, h) != live {
			continue
		}
		if h.Queue != queue {
			flush()
			queue = h.Queue
		}
		items = append(items, VisibilityItem{
			Offset: h.Offset, Epoch: h.Epoch, Lease: h.Lease, Deadline: m.Now, Attempt: h.Attempt, Uncounted: true,
		})
	}
	flush()
	return step
}

// maxGone bounds the leases that one step ends, so that it fits a frame; see ClientGone.
const maxGone = 1 << 16

// ClientGone ends the auto-renewed leases of a client at once; the deliveries count. A client with more than 65,536 leases
// keeps the rest for half a minute: they end when they are looked at next, since [Clients.Gone] has ended the client.
func (g *Group) ClientGone(m Moment, client string) Step {
	var step Step
	ref, ok := g.names.refs[clientName(client)]
	if !ok {
		return step
	}
	room := maxGone
	for _, q := range g.Queues() {
		p := g.queues[q]
		if p.resets > 0 {
			continue
		}
		var items []VisibilityItem
		end := func(o message.Offset) {
			if d, st := p.look(o); st == leased && d.auto && d.client == ref {
				items = append(items, VisibilityItem{Offset: o, Epoch: d.epoch, Lease: d.lease, Deadline: m.Now, Attempt: d.attempt})
			}
		}
		for o := range p.over {
			end(o)
		}
		for o := range p.deliveries {
			if _, ok := p.over[o]; !ok {
				end(o)
			}
		}
		slices.SortFunc(items, func(a, b VisibilityItem) int { return int(a.Offset - b.Offset) })
		if items = items[:min(len(items), room)]; len(items) > 0 {
			room -= len(items)
			g.emitVisibility(&step, p, items)
		}
	}
	return step
}

func (g *Group) emitVisibility(s *Step, p *progress, items []VisibilityItem) {
	r := VisibilityRecord{Key: g.key, Queue: p.queue, Items: items}
	body := make([]byte, 0, headLen+len(g.key.Name)+visibilityFixedLen+visibilityItemLen*len(items))
	g.emit(s, p.queue, message.RecordVisibility, r.AppendTo(body), true)
	for _, it := range items {
		p.reserveItem(it)
	}
}

// Commit sets the group's offset of a queue as a client that pulls does: everything below is settled. An offset at or
// below the committed one changes nothing.
func (g *Group) Commit(q message.Queue, offset message.Offset) Step {
	var step Step
	p := g.progress(q)
	if p.started && p.resets == 0 && offset <= p.floor || offset < 0 || offset > maxOffset {
		return step
	}
	g.emitCommit(&step, p, CommitRecord{Kind: CommitSet, Offset: offset})
	return step
}

// Reset puts the group to an offset of a queue, forward or back; it forgets what is leased and settled there, and every
// handle of the queue is dead. Lease is a number above all that the group was given in this epoch.
func (g *Group) Reset(m Moment, q message.Queue, offset message.Offset, lease uint64) Step {
	var step Step
	offset = min(max(offset, 0), maxOffset)
	g.emitCommit(&step, g.progress(q), CommitRecord{Kind: CommitReset, Offset: offset, Epoch: m.Epoch, Lease: lease})
	return step
}

// DeadLetterable says what DeadLetter would do with a handle, before the caller reads its message: the message
// is settled already, or the handle is dead (ErrInvalidHandle), or neither.
func (g *Group) DeadLetterable(m Moment, h storelayer.Handle) (settled bool, err error) {
	switch g.judge(m, &h) {
	case live, gone:
		return false, nil
	case done, settling:
		return true, nil
	case dead:
	}
	return false, storelayer.ErrInvalidHandle
}

// DeadLetter settles the message of a handle, whose copy goes to a queue of the dead-letter topic in the same frame.
func (g *Group) DeadLetter(m Moment, h storelayer.Handle, to message.Queue) DeadLetterOutcome {
	var out DeadLetterOutcome
	switch g.judge(m, &h) {
	case live, gone:
		g.emitDeadLetter(&out.Step, g.progress(h.Queue), h.Offset, to)
		out.Copy = true
	case settling:
		// The caller waits with whoever settled it.
		g.emitSettle(&out.Step, g.progress(h.Queue), Acked, []Run{{First: h.Offset, End: h.Offset + 1}}, true)
	case done:
	case dead:
		out.Err = storelayer.ErrInvalidHandle
	}
	return out
}

func (g *Group) emitDeadLetter(s *Step, p *progress, o message.Offset, to message.Queue) {
	r := DeadLetterRecord{Key: g.key, Queue: p.queue, Offset: o, Dead: to}
	g.emit(s, p.queue, message.RecordDeadLetter, r.AppendTo(nil), true)
	p.reserveSettled(o)
}

// Exhausted returns messages past their last attempt, at most limit, by queue and offset. They are not leased and stay
// unsettled until DeadLetterExhausted.
func (g *Group) Exhausted(m Moment, maxAttempts, limit int) []Exhausted {
	var out []Exhausted
	for _, q := range g.Queues() {
		p := g.queues[q]
		if p.resets > 0 {
			continue
		}
		g.findSpent(m, p, maxAttempts)
		for _, o := range p.spent {
			if len(out) == limit {
				return out
			}
			d, _ := p.look(o)
			out = append(out, Exhausted{Queue: q, Offset: o, Attempt: d.attempt})
		}
	}
	return out
}

// findSpent brings p.spent up to date.
func (g *Group) findSpent(m Moment, p *progress, maxAttempts int) {
	p.spentMax = maxAttempts
	p.spent = slices.DeleteFunc(p.spent, func(o message.Offset) bool {
		d, st := p.look(o)
		if st != leased {
			return true
		}
		if g.end(m, d) > m.Now || int(d.nextAttempt()) <= maxAttempts {
			p.due.schedule(o, d.earliest())
			return true
		}
		return false
	})
	var retries []dueEntry
	for range examineSpan {
		o, d, ok := g.peek(m, p, m.Now)
		if !ok {
			break
		}
		e, _ := p.due.top()
		p.due.pop()
		if int(d.nextAttempt()) > maxAttempts {
			p.spend(o)
		} else {
			retries = append(retries, e)
		}
	}
	for _, e := range retries {
		p.due.schedule(e.offset, e.at)
	}
}

// DeadLetterExhausted settles a message that Exhausted has named, whose copy goes to a queue of the dead-letter topic
// in the same frame. The step is empty if the message was settled or its lease prolonged since.
func (g *Group) DeadLetterExhausted(m Moment, e Exhausted, to message.Queue) Step {
	var step Step
	p := g.queues[e.Queue]
	if p == nil || p.resets > 0 {
		return step
	}
	d, st := p.look(e.Offset)
	if st == leased && d.attempt == e.Attempt && g.end(m, d) <= m.Now {
		g.emitDeadLetter(&step, p, e.Offset, to)
	}
	return step
}
