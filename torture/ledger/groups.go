package ledger

import (
	"cmp"
	"slices"
)

// group is what a consumer group was given and what it was answered.
type group struct {
	topics  map[string]bool
	state   map[uint64]*consumed
	commits map[queueKey]commit
	floors  map[queueKey]int64 // checked so far

	delivered, settled, again, deadLetters int64
}

type queueKey struct {
	topic string
	queue int32
}

// consumed is what a group did with one message.
type consumed struct {
	deliveries int32
	ackTried   bool  // an acknowledgement was sent: whatever was answered, it may have happened
	ackedAt    int64 // when one was answered OK; 0 if never
	deadTried  bool
	deadAt     int64 // when forwarding it was answered OK; 0 if never
	copies     int32 // in the dead-letter queue, distinct offsets
	copy       Place
}

// commit is what a group was told of its offset in a queue.
type commit struct {
	known   int64 // the highest that was answered OK
	highest int64 // the highest that was tried
}

// Subscribe says that a group consumes these topics.
func (l *Ledger) Subscribe(name string, topics ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groupLocked(name)
	for _, topic := range topics {
		g.topics[topic] = true
	}
}

func (l *Ledger) groupLocked(name string) *group {
	g := l.mu.groups[name]
	if g == nil {
		g = &group{topics: make(map[string]bool), state: make(map[uint64]*consumed), commits: make(map[queueKey]commit), floors: make(map[queueKey]int64)}
		l.mu.groups[name] = g
	}
	return g
}

func (g *group) of(id uint64) *consumed {
	c := g.state[id]
	if c == nil {
		c = new(consumed)
		g.state[id] = c
	}
	return c
}

// Delivered says that a receive that began at the time asked handed a message to a group. It returns the
// message's id, and false if it is none that should have come.
func (l *Ledger) Delivered(name string, asked int64, s *Seen) (uint64, bool) {
	id, ok := l.identify(s)
	if !ok {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groupLocked(name)
	c := g.of(id)
	g.delivered++
	if c.deliveries > 0 {
		g.again++
	}
	c.deliveries++
	m := &l.mu.sends[id]
	if m.outcome == Refused {
		l.brokenLocked("I2", "message %d was refused and is delivered to %s", id, name)
	}
	if before, known := l.mu.places[s.Place]; known && (before != reading{id, s.sum()}) {
		l.brokenLocked("I3", "%s holds message %d and is delivered to %s as message %d", s.Place, before.id, name, id)
	}
	if c.ackedAt > 0 && c.ackedAt < asked {
		l.brokenLocked("I21", "message %d at %s was acknowledged by %s and is delivered again", id, s.Place, name)
	}
	if c.deadAt > 0 && c.deadAt < asked {
		l.brokenLocked("I23", "message %d at %s was dead-lettered by %s and is delivered again", id, s.Place, name)
	}
	return id, true
}

// BeginAck says that a group is about to acknowledge a message.
func (l *Ledger) BeginAck(name string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groupLocked(name).of(id).ackTried = true
}

// Acked says that an acknowledgement was answered OK.
func (l *Ledger) Acked(name string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groupLocked(name)
	if c := g.of(id); c.ackedAt == 0 {
		c.ackedAt = l.Now()
		g.settled++
	}
}

// BeginForward says that a group is about to send a message to its dead letters.
func (l *Ledger) BeginForward(name string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groupLocked(name).of(id).deadTried = true
}

// Forwarded says that this was answered OK.
func (l *Ledger) Forwarded(name string, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.groupLocked(name).of(id); c.deadAt == 0 {
		c.deadAt = l.Now()
	}
}

// DeadLetter says that a message was read in the dead-letter queue of a group.
func (l *Ledger) DeadLetter(name string, s *Seen) {
	id, ok := l.identify(s)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := reading{id: id, sum: s.sum()}
	if before, known := l.mu.places[s.Place]; known && before != now {
		l.brokenLocked("I3", "%s held message %d and now holds message %d", s.Place, before.id, id)
		return
	}
	l.mu.places[s.Place] = now
	g := l.groupLocked(name)
	c := g.of(id)
	if c.copies > 0 && c.copy == s.Place {
		return // read before
	}
	c.copies++
	if c.copies > 1 {
		l.brokenLocked("I23", "message %d is in the dead-letter queue of %s at %s and at %s", id, name, c.copy, s.Place)
	} else {
		g.deadLetters++
	}
	c.copy = s.Place
	if l.mu.sends[id].outcome == Refused {
		l.brokenLocked("I2", "message %d was refused and is at %s", id, s.Place)
	}
}

// BeginCommit says that a group that pulls is about to commit an offset.
func (l *Ledger) BeginCommit(name, topic string, queue int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, key := l.groupLocked(name), queueKey{topic, queue}
	c := g.commits[key]
	c.highest = max(c.highest, offset)
	g.commits[key] = c
}

// Committed says that the commit was answered OK.
func (l *Ledger) Committed(name, topic string, queue int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, key := l.groupLocked(name), queueKey{topic, queue}
	c := g.commits[key]
	c.known = max(c.known, offset)
	g.commits[key] = c
}

// CommittedIs says that the broker names this as the group's committed offset; -1: it knows none.
func (l *Ledger) CommittedIs(name, topic string, queue int32, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.groupLocked(name).commits[queueKey{topic, queue}]
	switch {
	case offset < c.known && (offset >= 0 || c.known > 0):
		l.brokenLocked("I21", "%s committed %d in %s/%d, the broker says %d", name, c.known, topic, queue, offset)
	case offset > c.highest:
		l.brokenLocked("I21", "%s never committed more than %d in %s/%d, the broker says %d", name, c.highest, topic, queue, offset)
	}
}

// FloorIs says that the broker names this as the first offset that a group of leases has not settled: it
// never goes back, and never passes a message that nobody acknowledged and that is no dead letter. Queue and
// dead-letter queue must have been read after the broker was asked.
func (l *Ledger) FloorIs(name, topic string, queue int32, floor int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, key := l.groupLocked(name), queueKey{topic, queue}
	if floor < g.floors[key] {
		l.brokenLocked("I21", "%s had settled all below %d in %s/%d, the broker says %d", name, g.floors[key], topic, queue, floor)
		return
	}
	for offset := g.floors[key]; offset < floor; offset++ {
		r, known := l.mu.places[Place{topic, queue, offset}]
		if c := g.of(r.id); known && !c.ackTried && c.copies == 0 {
			l.brokenLocked("I21", "%s has committed %d in %s/%d and not acknowledged message %d at %d",
				name, floor, topic, queue, r.id, offset)
			return
		}
	}
	g.floors[key] = floor
}

// CheckSettled checks a group that has received everything there is and reads no more: each message of its
// topics that was acknowledged to its producer is acknowledged by the group or lies in its dead-letter queue.
func (l *Ledger) CheckSettled(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groupLocked(name)
	for id := range l.mu.sends {
		s := &l.mu.sends[id]
		if !g.topics[s.topic] || s.outcome != OK {
			continue
		}
		if c := g.of(uint64(id)); !c.ackTried && c.copies == 0 {
			l.brokenLocked("I23", "message %d of %s (offset %d, %d deliveries) has left the queue for %s, unacknowledged and no dead letter",
				id, s.topic, s.answer, c.deliveries, name)
		}
	}
	ids := make([]uint64, 0, len(g.state))
	for id, c := range g.state {
		if c.deadAt > 0 && c.copies == 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, cmp.Compare[uint64])
	for _, id := range ids {
		l.brokenLocked("I23", "message %d was forwarded by %s and is no dead letter", id, name)
	}
}
