package clock

import (
	"sync"
	"time"
)

// Manual is a clock that stands still until a test moves it.
type Manual struct {
	mu struct {
		sync.Mutex
		wall   time.Time
		boot   time.Duration
		timers map[*manualTimer]struct{}
	}
}

// NewManual returns a clock whose wall shows wall and whose machine started just now.
func NewManual(wall time.Time) *Manual {
	c := &Manual{}
	c.mu.wall = wall
	c.mu.timers = make(map[*manualTimer]struct{})
	return c
}

// Now is the wall clock.
func (c *Manual) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.wall
}

// Boot is the boot clock.
func (c *Manual) Boot() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.boot
}

// Advance lets d pass on both clocks and fires what is due.
func (c *Manual) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.wall = c.mu.wall.Add(d)
	c.mu.boot += d
	for t := range c.mu.timers {
		if t.at <= c.mu.boot {
			delete(c.mu.timers, t)
			t.c <- c.mu.wall
		}
	}
}

// SetWall sets the wall clock alone, as an operator or NTP does. No timer fires.
func (c *Manual) SetWall(wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.wall = wall
}

// NewTimer returns a timer that Advance fires.
func (c *Manual) NewTimer(d time.Duration) Timer {
	t := &manualTimer{clock: c, c: make(chan time.Time, 1)}
	t.Reset(d)
	return t
}

// manualTimer belongs to its clock, whose mutex guards it.
type manualTimer struct {
	clock *Manual
	c     chan time.Time
	at    time.Duration // on the boot clock
}

func (t *manualTimer) C() <-chan time.Time { return t.c }

func (t *manualTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stopLocked()
}

func (t *manualTimer) stopLocked() bool {
	_, armed := t.clock.mu.timers[t]
	delete(t.clock.mu.timers, t)
	select {
	case <-t.c:
	default:
	}
	return armed
}

func (t *manualTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	armed := t.stopLocked()
	t.at = t.clock.mu.boot + d
	if d <= 0 {
		t.c <- t.clock.mu.wall
		return armed
	}
	t.clock.mu.timers[t] = struct{}{}
	return armed
}
