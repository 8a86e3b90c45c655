package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder notes the order of what happens.
type recorder struct {
	mu struct {
		sync.Mutex
		lines []string
	}
}

func (r *recorder) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.lines = append(r.mu.lines, line)
}

// untilCut is a part that runs until its context ends.
func (r *recorder) untilCut(name string) *part {
	return &part{name: name, run: func(ctx context.Context) error {
		<-ctx.Done()
		r.add(name + " ended")
		return context.Cause(ctx)
	}}
}

func TestPartsStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := new(recorder)
		drained := make(chan struct{})
		parts := []*part{
			r.untilCut("store"),
			{
				name:    "proxy",
				run:     func(context.Context) error { <-drained; r.add("proxy ended"); return nil },
				drain:   func(context.Context) { r.add("drain"); close(drained) },
				timeout: time.Second,
			},
			r.untilCut("http"),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- runParts(ctx, parts, func(failure error) { r.add("stopping") }) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("got %v", err)
		}
		want := []string{"stopping", "http ended", "drain", "proxy ended", "store ended"}
		if !slices.Equal(r.mu.lines, want) {
			t.Errorf("got %q, want %q", r.mu.lines, want)
		}
	})
}

func TestPartThatFailsStopsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			err  error
			want error
		}{{"an error", errors.New("disk on fire"), nil}, {"no error", nil, errEnded}} {
			r := new(recorder)
			fail := make(chan struct{})
			parts := []*part{
				r.untilCut("store"),
				{name: "broken", run: func(context.Context) error { <-fail; return c.err }},
				r.untilCut("http"),
			}
			done := make(chan error, 1)
			var failure error
			go func() { done <- runParts(t.Context(), parts, func(err error) { failure = err }) }()
			synctest.Wait()
			close(fail)
			err := <-done
			if want := c.want; want == nil && !errors.Is(err, c.err) || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: got %v", c.name, err)
			}
			if !errors.Is(failure, err) || !strings.HasPrefix(err.Error(), "broken: ") {
				t.Errorf("%s: stopping was told %v, the end was %v", c.name, failure, err)
			}
			if !slices.Equal(r.mu.lines, []string{"http ended", "store ended"}) {
				t.Errorf("%s: %q", c.name, r.mu.lines)
			}
		}
	})
}

// A drain that takes too long is cut off when its time is over.
func TestDrainHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(recorder).untilCut("slow")
		p.timeout = 2 * time.Second
		p.drain = func(ctx context.Context) { <-ctx.Done() }
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if err := runParts(ctx, []*part{p}, func(error) {}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
