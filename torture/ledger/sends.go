package ledger

import (
	"cmp"
	"math"
	"slices"
)

// Outcome is what is known of a send.
type Outcome uint8

// The outcomes. A send is Unknown until it is answered.
const (
	Unknown Outcome = iota
	OK
	Refused // a definite no: nothing was stored
)

// send is what is known of one message.
type send struct {
	topic   string
	began   int64
	ended   int64 // when it was answered; 0 if it never was
	outcome Outcome
	answer  int64 // the offset that an OK named

	read  bool // somebody saw it at place
	place Place
	pass  int32 // the last pass that saw it
}

// Begin says that a message of topic is about to be sent, and numbers it.
func (l *Ledger) Begin(topic string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.sends = append(l.mu.sends, send{topic: topic, began: l.Now()})
	return uint64(len(l.mu.sends) - 1)
}

// Sent says that the broker answered OK, with this offset.
func (l *Ledger) Sent(id uint64, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.mu.sends[id]
	s.outcome, s.answer, s.ended = OK, offset, l.Now()
	if s.read && s.place.Offset != offset {
		l.brokenLocked("I1", "message %d was answered with offset %d and read at %s", id, offset, s.place)
	}
}

// SentRefused says that the broker answered a definite no.
func (l *Ledger) SentRefused(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.mu.sends[id]
	s.outcome, s.ended = Refused, l.Now()
	if s.read {
		l.brokenLocked("I2", "message %d was refused and is read at %s", id, s.place)
	}
}

// BeginPass starts a pass over all queues; EndPass closes it.
func (l *Ledger) BeginPass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.pass++
}

// Sends returns how many messages have been sent so far, which is the id of the next one.
func (l *Ledger) Sends() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.mu.sends))
}

// EndPass closes a pass that has read every place where a message of id from or above can lie, with 0 every
// place there is: all of them that were acknowledged before the pass began, or ever read, must have been
// seen. It returns how many are lost.
func (l *Ledger) EndPass(began int64, from uint64) (lost int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := from; id < uint64(len(l.mu.sends)); id++ {
		s := &l.mu.sends[id]
		if s.pass == l.mu.pass || (s.outcome != OK || s.ended >= began) && !s.read {
			continue
		}
		lost++
		if s.read {
			l.brokenLocked("I1", "message %d was at %s and is gone (%s)", id, s.place, s.outcome)
		} else {
			l.brokenLocked("I1", "message %d of %s was acknowledged with offset %d and is lost", id, s.topic, s.answer)
		}
	}
	return lost
}

// String is the outcome in a word.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "acknowledged"
	case Refused:
		return "refused"
	case Unknown:
	}
	return "of unknown outcome"
}

// CheckOrder checks that of two messages of one queue the one that was acknowledged before the other was
// sent has the lower offset. It looks at what has been read.
func (l *Ledger) CheckOrder() {
	l.mu.Lock()
	defer l.mu.Unlock()
	type queue struct {
		topic string
		id    int32
	}
	queues := make(map[queue][]uint64)
	for id := range l.mu.sends {
		if s := &l.mu.sends[id]; s.read {
			q := queue{s.place.Topic, s.place.Queue}
			queues[q] = append(queues[q], uint64(id))
		}
	}
	for _, ids := range queues {
		slices.SortFunc(ids, func(a, b uint64) int {
			return cmp.Compare(l.mu.sends[a].place.Offset, l.mu.sends[b].place.Offset)
		})
		// Of all messages at lower offsets, the one whose sending began last.
		latest, latestID := int64(math.MinInt64), uint64(0)
		for _, id := range ids {
			s := &l.mu.sends[id]
			if s.outcome == OK && s.ended < latest {
				l.brokenLocked("I4", "message %d at %s was acknowledged before message %d at %s was sent",
					id, s.place, latestID, l.mu.sends[latestID].place)
				break
			}
			if s.began > latest {
				latest, latestID = s.began, id
			}
		}
	}
}
