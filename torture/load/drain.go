package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// Drain lets every group receive what is left, now without mischief, and checks that each message was
// acknowledged or is a dead letter. Lag asks the broker how many messages a group has not settled.
func (l *Load) Drain(ctx context.Context, address string, lag func(ctx context.Context, group string) (int64, error)) error {
	group, working := errgroup.WithContext(ctx)
	for _, g := range l.config.Groups {
		group.Go(func() error {
			c, err := Dial(address, g.Name+"-drain")
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }() // nothing is under way
			if g.Mode == Picky {
				g.Mode = Settle
			}
			return l.drain(working, c, g, lag)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c, err := Dial(address, "reader")
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for _, g := range l.config.Groups {
		if err := l.readDeadLetters(ctx, c, g.Name); err != nil {
			return err
		}
		l.ledger.CheckSettled(g.Name)
	}
	return nil
}

func (l *Load) drain(ctx context.Context, c *Client, g Group, lag func(context.Context, string) (int64, error)) error {
	rng := rand.New(rand.NewPCG(l.config.Seed, 9))
	for {
		if err := l.receive(ctx, c, g, rng); err != nil {
			return fmt.Errorf("drain %s: %w", g.Name, err)
		}
		left, err := lag(ctx, g.Name)
		if err != nil {
			return fmt.Errorf("lag of %s: %w", g.Name, err)
		}
		if left == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s has %d messages left: %w", g.Name, left, context.Cause(ctx))
		}
		if g.Mode == Never {
			pauseFor(ctx, 20*time.Millisecond) // the broker moves them to the dead letters in the background
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
