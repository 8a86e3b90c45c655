package history

import (
	"context"
	"sync"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
)

// limiter spreads bytes over time: whoever takes waits until what was taken before has been paid for.
type limiter struct {
	clock clock.Clock
	rate  int64 // bytes per second; 0: no bound

	mu struct {
		sync.Mutex
		free time.Duration // by the boot clock: when everything taken so far is paid for
	}
}

func newLimiter(c clock.Clock, rate int64) *limiter {
	l := &limiter{clock: c, rate: rate}
	l.mu.free = c.Boot()
	return l
}

// take waits for its turn. Bytes count also if ctx ends first.
func (l *limiter) take(ctx context.Context, bytes int64) error {
	if l.rate == 0 {
		return nil
	}
	now := l.clock.Boot()
	l.mu.Lock()
	start := max(l.mu.free, now)
	l.mu.free = start + time.Duration(float64(bytes)/float64(l.rate)*float64(time.Second))
	l.mu.Unlock()
	if start <= now {
		return nil
	}
	timer := l.clock.NewTimer(start - now)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
