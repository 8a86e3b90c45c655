package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stratamq/stratamq/tiering"
)

// retry calls attempt until it succeeds, fails for good, or the attempts are used up. Bytes is what one attempt
// transfers. Attempt learns whether an earlier one may have taken effect.
func (s *Store) retry(ctx context.Context, op, key string, bytes int64, attempt func(ctx context.Context, unknown bool) error) error {
	unknown := false
	for n := 1; ; n++ {
		err := translate(ctx, s.once(ctx, bytes, unknown, attempt))
		if err == nil {
			return nil
		}
		if !retryable(err) || n >= s.config.Attempts {
			if n > 1 {
				err = fmt.Errorf("after %d attempts: %w", n, err)
			}
			return &tiering.OpError{Op: op, Key: key, Err: err}
		}
		unknown = unknown || errors.Is(err, tiering.ErrUnavailable)
		if err := sleep(ctx, s.delay(n)); err != nil {
			return &tiering.OpError{Op: op, Key: key, Err: err}
		}
	}
}

func (s *Store) once(ctx context.Context, bytes int64, unknown bool, attempt func(ctx context.Context, unknown bool) error) error {
	seconds := float64(bytes) / float64(s.config.MinRate)
	ctx, cancel := context.WithTimeout(ctx, s.config.AttemptTimeout+time.Duration(seconds*float64(time.Second)))
	defer cancel()
	return attempt(ctx, unknown)
}

// retryable reports whether another attempt can help.
func retryable(err error) bool {
	return errors.Is(err, tiering.ErrUnavailable) || errors.Is(err, tiering.ErrThrottled) || errors.Is(err, errDamaged)
}

// errDamaged marks bytes that may be right the next time: they were damaged on the way, or by a bad server behind
// a balancer.
var errDamaged = fmt.Errorf("%w on the way", tiering.ErrCorrupt)

// delay returns a pause between half of and the whole exponential backoff after attempt n: many callers that
// failed together do not come back together.
func (s *Store) delay(n int) time.Duration {
	limit := min(s.config.BaseDelay<<min(n-1, 20), s.config.MaxDelay)
	if limit <= 1 {
		return limit
	}
	return limit/2 + rand.N(limit/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
