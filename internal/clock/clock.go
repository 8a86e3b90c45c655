package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock tells the time and makes timers. All methods are safe for concurrent use.
type Clock interface {
	// Now is the wall clock; it may go back and jump ahead.
	Now() time.Time
	// Boot is the time since the machine started, time asleep included; it never goes back.
	Boot() time.Duration
	// NewTimer returns a timer that fires once after d of elapsed time.
	NewTimer(d time.Duration) Timer
}

// Timer fires once, like time.Timer: after Stop or Reset no earlier firing is received.
type Timer interface {
	C() <-chan time.Time
	Stop() bool
	Reset(d time.Duration) bool
}

// Real returns the machine's clock.
func Real() Clock { return realClock{} }

type realClock struct{ runtimeClock }

// Boot reads CLOCK_BOOTTIME: CLOCK_MONOTONIC, which Go's own clock uses, stands still while the machine sleeps.
func (c realClock) Boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return c.runtimeClock.Boot()
	}
	return time.Duration(ts.Nano())
}

// Runtime returns the Go runtime's clock, whose both faces a synctest bubble replaces.
func Runtime() Clock { return runtimeClock{} }

type runtimeClock struct{}

// runtimeStart is an arbitrary moment that the monotonic clock is counted from.
var runtimeStart = time.Now()

func (runtimeClock) Now() time.Time { return time.Now() }

func (runtimeClock) Boot() time.Duration { return time.Since(runtimeStart) }

func (runtimeClock) NewTimer(d time.Duration) Timer { return realTimer{time.NewTimer(d)} }

type realTimer struct{ t *time.Timer }

func (t realTimer) C() <-chan time.Time        { return t.t.C }
func (t realTimer) Stop() bool                 { return t.t.Stop() }
func (t realTimer) Reset(d time.Duration) bool { return t.t.Reset(d) }
