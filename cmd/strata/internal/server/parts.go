package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// errEnded says that a part ended though nobody had asked it to.
var errEnded = errors.New("ended by itself")

// part is something that runs for the whole life of the server.
type part struct {
	name string
	run  func(context.Context) error // until its context ends, or until drain

	drain   func(context.Context) // ends the part in peace; nil: its context is ended at once
	timeout time.Duration         // of drain

	stopping atomic.Bool
	cut      context.CancelFunc // ends run's context
	done     chan struct{}
}

// runParts runs the parts side by side until ctx ends or one of them fails, then stops them one after
// the other, the last one first. Stopping is called in between, with the failure or nil. It returns the
// failure of the part that failed first.
func runParts(ctx context.Context, parts []*part, stopping func(failure error)) error {
	group, failed := errgroup.WithContext(ctx)
	for _, p := range parts {
		// A part does not end with ctx: the order of the stop is ours.
		partCtx, cut := context.WithCancel(context.WithoutCancel(ctx))
		p.cut, p.done = cut, make(chan struct{})
		group.Go(func() error {
			defer close(p.done)
			defer cut()
			return p.result(p.run(partCtx))
		})
	}
	group.Go(func() error {
		<-failed.Done()
		if ctx.Err() != nil {
			stopping(nil)
		} else {
			stopping(context.Cause(failed))
		}
		for _, p := range slices.Backward(parts) {
			p.stop(context.WithoutCancel(ctx))
		}
		return nil
	})
	return group.Wait()
}

// result is what the end of a part means.
func (p *part) result(err error) error {
	switch {
	case p.stopping.Load() && (err == nil || errors.Is(err, context.Canceled)):
		return nil
	case err == nil:
		return fmt.Errorf("%s: %w", p.name, errEnded)
	default:
		return fmt.Errorf("%s: %w", p.name, err)
	}
}

func (p *part) stop(ctx context.Context) {
	p.stopping.Store(true)
	if p.drain != nil {
		drainCtx, cancel := context.WithTimeout(ctx, p.timeout)
		p.drain(drainCtx)
		cancel()
	}
	p.cut()
	<-p.done
}
