package group

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/stratamq/stratamq/message"
)

const (
	// MaxLease is how many messages one lease takes at most.
	MaxLease = 1024
	// MaxDeliveries is how many unsettled deliveries a group has in one queue; beyond it only retries are leased.
	// It bounds the memory of a group whose consumers never settle: about 100 bytes for each.
	MaxDeliveries = 1 << 20

	maxAttempt  = math.MaxUint16
	scanLimit   = 4096 // offsets that one lease looks at
	namesLimit  = 1024 // client names that are kept before the unused ones are looked for
	examineSpan = 4096 // due deliveries that one call of Exhausted looks at, per queue
)

// Group is the progress of one (group name, generation) on one shard. It is not safe for concurrent use: the caller
// holds a lock, and appends the records of a decision to the log before the next decision.
type Group struct {
	key    Key
	queues map[message.Queue]*progress

	names         clientNames
	namesLimit    int
	maxDeliveries int // MaxDeliveries, less in tests

	steps  uint64
	flying []flight // records on their way to the watermark, in log order

	// Reused by decisions and Apply.
	lease      leaseView
	settlement settleView
	visibility visibilityView
	offsets    []message.Offset
}

// flight is a record on its way to the watermark.
type flight struct {
	step     uint64
	queue    message.Queue
	rec      message.Record
	overlaid bool // it holds its offsets in the overlay
}

// New returns a group that has read nothing.
func New(key Key) *Group {
	return &Group{
		key: key, queues: make(map[message.Queue]*progress), names: newClientNames(),
		namesLimit: namesLimit, maxDeliveries: MaxDeliveries,
	}
}

// Key returns the group's name and generation.
func (g *Group) Key() Key { return g.key }

// Knows reports whether the group has begun to read a queue, so that [LeaseInput.Start] does not matter.
func (g *Group) Knows(q message.Queue) bool {
	p := g.queues[q]
	return p != nil && (p.liveStarted || p.resets > 0)
}

// Queues returns the queues of the group, sorted by topic and number.
func (g *Group) Queues() []message.Queue {
	return slices.SortedFunc(maps.Keys(g.queues), compareQueues)
}

func compareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}

// Committed returns the group's durable offset of a queue, below which everything is settled; false if it has none.
func (g *Group) Committed(q message.Queue) (message.Offset, bool) {
	p := g.queues[q]
	if p == nil || !p.started {
		return 0, false
	}
	return p.floor, true
}

// Counts returns the group's numbers in a queue that holds [first, next), with the records on their way; false if it
// has not begun to read the queue.
func (g *Group) Counts(m Moment, q message.Queue, first, next message.Offset) (Counts, bool) {
	p := g.queues[q]
	if p == nil || !p.started {
		return Counts{}, false
	}
	c := Counts{Committed: p.floor, Settled: p.settled.count}
	span := Run{First: max(p.liveFloor, first), End: max(p.liveFloor, first, next)}
	c.Lag = int64(span.End-span.First) - p.settled.countIn(span)
	count := func(o message.Offset, d delivery) {
		if o >= span.First && o < span.End && g.end(m, d) > m.Now {
			c.InFlight++
		}
	}
	for o, r := range p.over {
		if !r.settled {
			count(o, r.delivery)
		} else if o >= span.First && o < span.End && !p.isSettled(o) {
			c.Lag--
		}
	}
	for o, d := range p.deliveries {
		if _, ok := p.over[o]; !ok {
			count(o, d)
		}
	}
	for _, o := range p.spent {
		if d, st := p.look(o); st == leased && o >= span.First && g.end(m, d) <= m.Now {
			c.Exhausted++
		}
	}
	c.Ready = c.Lag - c.InFlight - c.Exhausted
	return c, true
}

// end returns the instant at which a lease ends.
func (g *Group) end(m Moment, d delivery) int64 {
	if !d.auto {
		return d.deadline
	}
	if m.Horizon == nil {
		return 0
	}
	return min(d.deadline, m.Horizon(g.names.names[d.client]))
}

// progress returns the state of a queue, made if need be.
func (g *Group) progress(q message.Queue) *progress {
	p := g.queues[q]
	if p == nil {
		p = newProgress(q)
		g.queues[q] = p
	}
	return p
}

// client returns the number of a client's name; from time to time it forgets the names that no delivery has.
func (g *Group) client(name []byte) clientRef {
	if _, ok := g.names.refs[string(name)]; !ok && len(g.names.names) >= g.namesLimit {
		old := g.names
		g.names = newClientNames()
		for _, p := range g.queues {
			for o, d := range p.deliveries {
				d.client = g.names.ref([]byte(old.names[d.client]))
				p.deliveries[o] = d
			}
			for o, r := range p.over {
				if !r.settled {
					r.client = g.names.ref([]byte(old.names[r.client]))
					p.over[o] = r
				}
			}
		}
		g.namesLimit = max(namesLimit, 2*len(g.names.names))
	}
	return g.names.ref(name)
}

// emit adds a record to a step and to those on their way.
func (g *Group) emit(s *Step, q message.Queue, t message.RecordType, body []byte, overlaid bool) {
	if s.ID == 0 {
		g.steps++
		s.ID = g.steps
	}
	rec := message.Record{Type: t, Topic: q.Topic, Body: body}
	s.Records = append(s.Records, rec)
	g.flying = append(g.flying, flight{step: s.ID, queue: q, rec: rec, overlaid: overlaid})
}

// landing returns the flight of a record that Apply was given: the first one, if the record is this leader's own.
func (g *Group) landing(rec message.Record) (flight, bool) {
	if len(g.flying) == 0 {
		return flight{}, false
	}
	f := g.flying[0]
	if f.rec.Type != rec.Type || f.rec.Topic != rec.Topic || !bytes.Equal(f.rec.Body, rec.Body) {
		return flight{}, false
	}
	g.flying[0] = flight{}
	g.flying = g.flying[1:]
	return f, true
}

// Abort undoes a step whose records were refused and will never be in the log. It costs as much as its queues have
// deliveries, so a caller asks for room in the log before it decides.
func (g *Group) Abort(id uint64) {
	touched := make(map[message.Queue]struct{})
	g.flying = slices.DeleteFunc(g.flying, func(f flight) bool {
		if f.step != id {
			return false
		}
		touched[f.queue] = struct{}{}
		return true
	})
	for q := range touched {
		g.rebuild(g.progress(q))
	}
}
