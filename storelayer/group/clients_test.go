package group

import (
	"testing"
)

func TestClientsSweep(t *testing.T) {
	c := NewClients(0)
	c.Report(100_000, "a", "b")
	c.Gone(100_001, "b")
	if a, b := c.Horizon("a"), c.Horizon("b"); a != 130_000 || b != 100_001 {
		t.Errorf("horizons %d, %d", a, b)
	}
	c.Sweep(130_001)
	if len(c.mu.seen) != 0 || len(c.mu.gone) != 0 {
		t.Errorf("%d seen, %d gone", len(c.mu.seen), len(c.mu.gone))
	}
	if got := c.Horizon("a"); got != 60_000 {
		t.Errorf("horizon of a stranger %d", got)
	}
}
