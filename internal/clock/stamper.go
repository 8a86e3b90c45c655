package clock

import "time"

// MaxJump is how far the wall clock may run ahead of the boot clock between two stamps and still be believed.
const MaxJump = 5 * time.Minute

// Trust says whether a stamp followed the wall clock.
type Trust uint8

// The states of trust.
const (
	TrustWall   Trust = iota // stamps follow the wall clock
	TrustBehind              // the wall clock shows less than the last stamp, which is repeated until it is passed
	TrustBoot                // the wall clock jumped ahead: stamps go on by the boot clock
)

// String returns the state as a word.
func (t Trust) String() string {
	switch t {
	case TrustWall:
		return "wall"
	case TrustBehind:
		return "behind"
	case TrustBoot:
		return "boot"
	}
	return "unknown"
}

// Stamper makes the store times of one log, in milliseconds since 1970, each at least the one before.
//
// One record stamped a year ahead would hold every later one at that time and make every delayed
// message due. So a wall clock that jumps ahead of the boot clock by more than [MaxJump] is not
// believed: stamps go on by the boot clock until the two agree again or an operator calls Accept.
// Over a restart there is no such yardstick; the first reading is believed.
//
// A Stamper belongs to one goroutine.
type Stamper struct {
	clock Clock
	last  int64 // the greatest stamp so far

	// The last pair of readings that was believed.
	wall time.Time
	boot time.Duration

	trust Trust
}

// NewStamper returns a stamper whose stamps are at least last.
func NewStamper(c Clock, last int64) *Stamper {
	return &Stamper{clock: c, last: last, wall: c.Now().Round(0), boot: c.Boot()}
}

// Next returns the time for the next record, and how it was found.
func (s *Stamper) Next() (int64, Trust) {
	wall, boot := s.clock.Now().Round(0), s.clock.Boot()
	expected := s.wall.Add(boot - s.boot)
	ahead := wall.Sub(expected)
	now := wall
	s.trust = TrustWall
	switch {
	case ahead > MaxJump:
		now = expected
		s.trust = TrustBoot
	case ahead >= -MaxJump:
		// Small steps either way are NTP's daily work, and following them keeps a slow drift of the
		// boot clock from ever adding up to a jump. A big step back is not followed: the step
		// forward that mends it would look like a jump.
		s.wall, s.boot = wall, boot
	}
	ms := now.UnixMilli()
	if ms < s.last {
		ms = s.last
		if s.trust == TrustWall {
			s.trust = TrustBehind
		}
	}
	s.last = ms
	return ms, s.trust
}

// Accept believes the wall clock as it is now: an operator's word.
func (s *Stamper) Accept() {
	s.wall, s.boot = s.clock.Now().Round(0), s.clock.Boot()
}
