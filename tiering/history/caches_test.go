package history

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
)

func TestLRU(t *testing.T) {
	c := newLRU[string, int](10)
	c.put("a", 1, 4)
	c.put("b", 2, 4)
	if _, ok := c.get("a"); !ok {
		t.Fatal("a is not there")
	}
	c.put("c", 3, 4) // b was not used for longest
	if _, ok := c.get("b"); ok {
		t.Error("b is still there")
	}
	c.put("huge", 4, 11)
	if _, ok := c.get("huge"); ok {
		t.Error("a value that costs more than everything was kept")
	}
	c.put("a", 5, 1) // replaced, and its cost with it
	c.put("d", 6, 5)
	for key, want := range map[string]int{"a": 5, "c": 3, "d": 6} {
		if got, ok := c.get(key); !ok || got != want {
			t.Errorf("%s is %d, %v", key, got, ok)
		}
	}
	if n := c.count(func(v int) bool { return v >= 5 }); n != 2 {
		t.Errorf("%d values from 5 on", n)
	}
	if v, ok := c.take("d"); !ok || v != 6 {
		t.Errorf("took %d, %v", v, ok)
	}
	if _, ok := c.take("d"); ok || c.mu.cost != 5 {
		t.Errorf("d is still there, or its cost: %d", c.mu.cost)
	}
}

// TestLimiter: what is taken at once is spread over the time that it has to take.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(clock.Runtime(), 1000)
		start := time.Now()
		for range 5 {
			if err := l.take(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 2*time.Second { // the last one is not paid for yet
			t.Errorf("2,500 bytes at 1,000 per second took %v", took)
		}
		if err := newLimiter(clock.Runtime(), 0).take(t.Context(), 1<<60); err != nil {
			t.Fatal(err)
		}
	})
}
