package ledger

import "hash/crc64"

var table = crc64.MakeTable(crc64.ECMA)

// Seen is a message as a reader got it.
type Seen struct {
	Place Place
	Name  string // its message id
	Tag   string
	Body  []byte
}

// reading is what an offset held when it was first read.
type reading struct {
	id  uint64
	sum uint64 // of everything that a reader can see
}

func (s *Seen) sum() uint64 {
	sum := crc64.Update(0, table, []byte(s.Name+"\x00"+s.Tag+"\x00"))
	return crc64.Update(sum, table, s.Body)
}

// identify returns which message a reader got, if it is one that was sent and has the bytes of that one.
func (l *Ledger) identify(s *Seen) (uint64, bool) {
	id, ok := IDOf(s.Body)
	same := ok && l.same(id, s.Body) // outside the lock: it makes the body anew
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !ok || id >= uint64(len(l.mu.sends)):
		l.brokenLocked("I2", "%s holds %.40q, which was never sent", s.Place, s.Body)
		return 0, false
	case !same:
		l.brokenLocked("I1", "%s holds message %d with other bytes than were sent", s.Place, id)
		return 0, false
	case s.Name != l.Name(id) || s.Tag != Tag(id):
		l.brokenLocked("I1", "%s holds message %d with id %q and tag %q", s.Place, id, s.Name, s.Tag)
		return 0, false
	}
	return id, true
}

// Read says that a reader got a message from its place.
func (l *Ledger) Read(s *Seen) {
	id, ok := l.identify(s)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.reads++
	m := &l.mu.sends[id]
	m.pass = l.mu.pass
	now := reading{id: id, sum: s.sum()}
	if before, known := l.mu.places[s.Place]; known && before != now {
		l.brokenLocked("I3", "%s held message %d and now holds message %d", s.Place, before.id, id)
		return
	}
	l.mu.places[s.Place] = now
	switch {
	case m.topic != s.Place.Topic:
		l.brokenLocked("I1", "message %d was sent to %s and is at %s", id, m.topic, s.Place)
	case m.outcome == Refused:
		l.brokenLocked("I2", "message %d was refused and is at %s", id, s.Place)
	case m.read && m.place != s.Place:
		l.brokenLocked("I1", "message %d is at %s and at %s", id, m.place, s.Place)
	case m.outcome == OK && m.answer != s.Place.Offset:
		l.brokenLocked("I1", "message %d was acknowledged with offset %d and is at %s", id, m.answer, s.Place)
	}
	m.read, m.place = true, s.Place
}

// Range says that a reader went through a queue from offset from on and got these messages, the last of
// them at the end that the queue had: there must be no hole.
func (l *Ledger) Range(topic string, queue int32, from, end int64, offsets []int64) {
	next := from
	for _, offset := range offsets {
		if offset != next {
			l.Report("I4", "%s/%d: offset %d follows where %d belongs", topic, queue, offset, next)
			return
		}
		next++
	}
	if next != end {
		l.Report("I4", "%s/%d: reading ended at %d, the queue ends at %d", topic, queue, next, end)
	}
}
