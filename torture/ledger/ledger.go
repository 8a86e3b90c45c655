package ledger

import (
	"fmt"
	"sync"
	"time"
)

// maxViolations bounds how many violations are kept with their text; all are counted.
const maxViolations = 50

// Violation is a promise that the broker broke.
type Violation struct {
	Invariant string // I1, I2 …
	Text      string
}

// String is one line for people.
func (v Violation) String() string { return v.Invariant + ": " + v.Text }

// Place is where a message lies.
type Place struct {
	Topic  string
	Queue  int32
	Offset int64
}

// String prints topic/queue@offset.
func (p Place) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Queue, p.Offset) }

// Ledger is safe for concurrent use.
type Ledger struct {
	seed  uint64
	start time.Time

	mu struct {
		sync.Mutex
		sends      []send // by id
		places     map[Place]reading
		groups     map[string]*group
		pass       int32
		reads      int64
		violations []Violation
		broken     int64
	}
}

// New returns an empty ledger. The bodies of its messages follow from seed.
func New(seed uint64) *Ledger {
	l := &Ledger{seed: seed, start: time.Now()}
	l.mu.places = make(map[Place]reading)
	l.mu.groups = make(map[string]*group)
	return l
}

// Now is the time that the ledger counts in.
func (l *Ledger) Now() int64 { return int64(time.Since(l.start)) }

// Violations returns how many promises were broken, and the first of them.
func (l *Ledger) Violations() (int64, []Violation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.broken, append([]Violation(nil), l.mu.violations...)
}

// Report adds a violation that somebody else saw.
func (l *Ledger) Report(invariant, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.brokenLocked(invariant, format, args...)
}

func (l *Ledger) brokenLocked(invariant, format string, args ...any) {
	l.mu.broken++
	if len(l.mu.violations) < maxViolations {
		l.mu.violations = append(l.mu.violations, Violation{invariant, fmt.Sprintf(format, args...)})
	}
}

// Totals are the sums of a run so far.
type Totals struct {
	Sent, Acked, Refused, Unknown int64
	Returned                      int64 // of unknown outcome, and read all the same
	Reads                         int64
	Delivered, Settled, Again     int64 // deliveries, answered acknowledgements, deliveries after the first
	DeadLetters                   int64
	Violations                    int64
}

// Totals counts.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := Totals{Sent: int64(len(l.mu.sends)), Reads: l.mu.reads, Violations: l.mu.broken}
	for i := range l.mu.sends {
		s := &l.mu.sends[i]
		switch s.outcome {
		case OK:
			t.Acked++
		case Refused:
			t.Refused++
		case Unknown:
			t.Unknown++
			if s.read {
				t.Returned++
			}
		}
	}
	for _, g := range l.mu.groups {
		t.Delivered += g.delivered
		t.Settled += g.settled
		t.Again += g.again
		t.DeadLetters += g.deadLetters
	}
	return t
}
