package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

var wall = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestManualTimers(t *testing.T) {
	c := NewManual(wall)
	a, b := c.NewTimer(time.Second), c.NewTimer(3*time.Second)
	fired := func(t Timer) bool {
		select {
		case <-t.C():
			return true
		default:
			return false
		}
	}
	c.Advance(time.Second - 1)
	if fired(a) {
		t.Fatal("fired early")
	}
	c.Advance(1)
	if !fired(a) || fired(b) {
		t.Fatal("not the one that is due")
	}
	if !b.Stop() || b.Stop() {
		t.Fatal("Stop reports whether the timer ran")
	}
	b.Reset(time.Second)
	c.Advance(time.Minute)
	if b.Reset(time.Second) {
		t.Fatal("a timer that fired does not run")
	}
	if fired(b) {
		t.Fatal("a firing from before Reset came after it")
	}
	c.SetWall(wall.Add(time.Hour))
	if fired(b) || c.Boot() != time.Second+time.Minute || !c.Now().Equal(wall.Add(time.Hour)) {
		t.Fatal("the wall clock moves alone")
	}
}

func TestRealClocksGoForward(t *testing.T) {
	for _, c := range []Clock{Real(), Runtime()} {
		before := c.Boot()
		<-c.NewTimer(time.Millisecond).C()
		if d := c.Boot() - before; d < time.Millisecond {
			t.Errorf("%T: boot clock went %v", c, d)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := Runtime()
		now, boot := c.Now(), c.Boot()
		<-c.NewTimer(time.Hour).C()
		if c.Now().Sub(now) != time.Hour || c.Boot()-boot != time.Hour {
			t.Error("the runtime's clock is not the bubble's")
		}
	})
}

// TestStamper is a life of one log's clock, step by step.
func TestStamper(t *testing.T) {
	c := NewManual(wall)
	start := wall.UnixMilli()
	s := NewStamper(c, 0)
	steps := []struct {
		name  string
		do    func()
		after time.Duration // since start
		trust Trust
	}{
		{"nothing", func() {}, 0, TrustWall},
		{"time passes", func() { c.Advance(time.Minute) }, time.Minute, TrustWall},
		{"NTP steps ahead by four minutes", func() { c.SetWall(c.Now().Add(4 * time.Minute)) }, 5 * time.Minute, TrustWall},
		{"and back by two", func() { c.SetWall(c.Now().Add(-2 * time.Minute)) }, 5 * time.Minute, TrustBehind},
		{"until it is passed", func() { c.Advance(3 * time.Minute) }, 6 * time.Minute, TrustWall},
		{"a year ahead is not believed", func() { c.SetWall(c.Now().AddDate(1, 0, 0)) }, 6 * time.Minute, TrustBoot},
		{"stamps go on by the boot clock", func() { c.Advance(time.Minute) }, 7 * time.Minute, TrustBoot},
		{"until the two agree", func() { c.SetWall(c.Now().AddDate(-1, 0, 0)); c.Advance(time.Minute) }, 8 * time.Minute, TrustWall},
		{"an hour back", func() { c.SetWall(c.Now().Add(-time.Hour)) }, 8 * time.Minute, TrustBehind},
		{"and put right", func() { c.Advance(time.Minute); c.SetWall(c.Now().Add(time.Hour)) }, 9 * time.Minute, TrustWall},
		{"an hour ahead", func() { c.SetWall(c.Now().Add(time.Hour)) }, 9 * time.Minute, TrustBoot},
		{"that an operator accepts", s.Accept, time.Hour + 9*time.Minute, TrustWall},
	}
	for _, step := range steps {
		step.do()
		ms, trust := s.Next()
		if got := time.Duration(ms-start) * time.Millisecond; got != step.after || trust != step.trust {
			t.Errorf("%s: %v %s, want %v %s", step.name, got, trust, step.after, step.trust)
		}
	}
	s = NewStamper(c, start+1e12)
	if ms, trust := s.Next(); ms != start+1e12 || trust != TrustBehind {
		t.Errorf("after a restart with later stamps in the log: %d %s", ms, trust)
	}
}
