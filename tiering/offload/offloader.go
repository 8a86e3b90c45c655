package offload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering/manifest"
)

var (
	// ErrFenced says that a leader of a higher epoch has claimed the manifest head: this one seals no more.
	ErrFenced = errors.New("another leader has claimed the manifest")

	// ErrManifestLost says that the metadata store has no head while the bucket has entries, or the head does not
	// reach the log: it has to be rebuilt from the bucket before anything is sealed.
	ErrManifestLost = errors.New("the manifest head is lost")
)

// Offloader seals and trims the segments of one shard.
type Offloader struct {
	Options

	wake    chan struct{} // capacity 1
	backlog atomic.Int64  // bytes

	// Owned by Run.
	claimed  bool
	finished bool // the head's entry is in the bucket, its values are written and the shard knows
	head     meta.ManifestHead
	revision uint64
	entry    manifest.Entry // the head's; Sequence is 0 while there is none
	attempt  *attempt       // the seal that is under way, kept from one try to the next
	sealed   map[message.Position]time.Time
	written  int64 // bytes of data written into the metadata store by the seal under way
}

// New returns an offloader. It does nothing before Run.
func New(opts Options) (*Offloader, error) {
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("offload: %w", err)
	}
	if opts.Source == nil || opts.Store == nil || opts.Meta == nil || opts.Clock == nil || opts.Rand == nil || opts.Class == nil || opts.Logger == nil {
		return nil, errors.New("offload: a part is missing")
	}
	opts.Logger = opts.Logger.With("component", "offload", "shard", opts.Source.Shard(), "epoch", opts.Source.Epoch())
	return &Offloader{
		Options: opts, wake: make(chan struct{}, 1), sealed: make(map[message.Position]time.Time),
	}, nil
}

// Wake says that a segment may have become full. It may be called from any goroutine.
func (o *Offloader) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Backlog returns how many bytes of full segments are not sealed yet, as of the last look.
func (o *Offloader) Backlog() int64 { return o.backlog.Load() }

// Run seals and trims until ctx ends, when it returns nil, or until another leader has claimed the manifest: then it
// fails with [ErrFenced]. Every other failure makes a backlog and is tried again, ever more slowly.
func (o *Offloader) Run(ctx context.Context) error {
	attempt := 0
	for ctx.Err() == nil {
		step, err := o.work(ctx)
		wait := o.Config.Poll
		switch {
		case errors.Is(err, ErrFenced):
			return fmt.Errorf("offload shard %s: %w", o.Source.Shard(), err)
		case ctx.Err() != nil: // what fails now fails because of that
		case err != nil:
			attempt++
			wait = o.retryAfter(attempt)
			o.failed(step, err, attempt, wait)
		default:
			attempt = 0
			wait = min(wait, o.untilTrim())
		}
		o.pause(ctx, wait, err == nil)
	}
	return nil
}

// Pass does once what Run does again and again: it seals and trims all that is due now, and returns the first error. It
// must not be called beside Run.
func (o *Offloader) Pass(ctx context.Context) error {
	_, err := o.work(ctx)
	return err
}

// work does all there is to do now, in the order in which it has to be done, and says at which step it failed.
func (o *Offloader) work(ctx context.Context) (Step, error) {
	if !o.claimed {
		if err := o.claim(ctx); err != nil {
			return StepClaim, err
		}
	}
	if step, err := o.finish(ctx); err != nil {
		return step, err
	}
	for {
		segments, err := o.Source.Sealable(ctx)
		if err != nil {
			return StepList, err
		}
		if err := o.trim(ctx, segments); err != nil {
			return StepTrim, err
		}
		next, found, err := o.next(segments)
		if err != nil {
			return StepList, err
		}
		if !found {
			return "", nil
		}
		if step, err := o.seal(ctx, next); err != nil {
			return step, err
		}
	}
}

// next returns the oldest segment that is not sealed.
func (o *Offloader) next(segments []Segment) (next Segment, found bool, err error) {
	bytes, count := int64(0), 0
	for _, s := range segments {
		if o.entry.Sequence > 0 && s.End <= o.entry.End {
			continue
		}
		if !found {
			next, found = s, true
		}
		bytes += s.Bytes
		count++
	}
	o.backlog.Store(bytes)
	if o.Events.Backlog != nil {
		o.Events.Backlog(count, bytes)
	}
	if found && o.entry.Sequence > 0 && next.Base != o.entry.End {
		return Segment{}, false, fmt.Errorf("%w: it ends at %s, the local log goes on at %s", ErrManifestLost, o.entry.End, next.Base)
	}
	return next, found, nil
}

// retryAfter returns the wait after the n-th failure in a row: it doubles, and half of it is by chance, so that many
// shards do not come back together.
func (o *Offloader) retryAfter(n int) time.Duration {
	wait := o.Config.RetryMax
	if shift := n - 1; shift < 32 && o.Config.RetryFirst<<shift < wait && o.Config.RetryFirst<<shift > 0 {
		wait = o.Config.RetryFirst << shift
	}
	return wait/2 + time.Duration(o.Rand.Int64N(int64(wait/2)+1))
}

func (o *Offloader) failed(step Step, err error, attempt int, wait time.Duration) {
	o.Logger.Warn("sealing failed and is tried again; producers are not affected", "step", step, "err", err, "attempt", attempt, "wait", wait)
	if o.Events.Failed != nil {
		o.Events.Failed(step, err, attempt, wait)
	}
}

// pause waits. Wake ends the wait only if nothing had failed.
func (o *Offloader) pause(ctx context.Context, wait time.Duration, wakeable bool) {
	timer := o.Clock.NewTimer(wait)
	defer timer.Stop()
	wake := o.wake
	if !wakeable {
		wake = nil
	}
	select {
	case <-timer.C():
	case <-wake:
	case <-ctx.Done():
	}
}
