package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// op does one call and returns how many messages it moved.
type op func(ctx context.Context) (messages int, err error)

// load is what a number of callers do, each one call after the other.
type load struct {
	callers int
	newOp   func(caller int) (op, error)
}

// window is what was counted in a stretch of time under load.
type window struct {
	messages int64
	elapsed  time.Duration
	cpu      time.Duration // of the server's processes
}

func (w window) perSecond() float64 { return float64(w.messages) / w.elapsed.Seconds() }

// cpuMicros returns the server's CPU time per message, in µs.
func (w window) cpuMicros() float64 { return micros(w.cpu) / float64(w.messages) }

// counter is one caller's count, alone on its cache line.
type counter struct {
	n atomic.Int64
	_ [56]byte
}

// run puts a server under load for warm + length and counts the second part. The callers end after the call that they
// are in.
func (l load) run(ctx context.Context, cpu func() (time.Duration, error), warm, length time.Duration) (window, error) {
	counts := make([]counter, l.callers)
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for caller := range l.callers {
		call, err := l.newOp(caller)
		if err != nil {
			stop.Store(true)
			return window{}, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			ctx := callerContext(ctx, caller)
			for !stop.Load() {
				n, err := call(ctx)
				if err != nil {
					return fmt.Errorf("caller %d: %w", caller, err)
				}
				counts[caller].n.Add(int64(n))
			}
			return nil
		})
	}
	w, err := l.count(ctx, counts, cpu, warm, length)
	stop.Store(true)
	if failure := group.Wait(); failure != nil {
		return window{}, failure
	}
	return w, err
}

func (l load) count(ctx context.Context, counts []counter, cpu func() (time.Duration, error), warm, length time.Duration) (window, error) {
	if err := pause(ctx, warm); err != nil {
		return window{}, err
	}
	cpuBefore, err := cpu()
	if err != nil {
		return window{}, err
	}
	before, start := sum(counts), time.Now()
	if err := pause(ctx, length); err != nil {
		return window{}, err
	}
	after, elapsed := sum(counts), time.Since(start)
	cpuAfter, err := cpu()
	return window{after - before, elapsed, cpuAfter - cpuBefore}, err
}

func sum(counts []counter) (total int64) {
	for i := range counts {
		total += counts[i].n.Load()
	}
	return total
}

// pause waits for d, or fails when ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// median returns the middle of values, which it sorts; NaN-free and not empty.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

// quantile returns the value below which the share q of the sorted durations lies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// fastRand is splitmix64: bytes for bodies, the same for the same seed.
type fastRand uint64

func (r *fastRand) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}
