package meta

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// How often and how fast an unknown outcome is asked for again. The sum, about 10 s, outlasts the
// choice of a new leader among NATS servers (4.5 to 8 s, measured).
const (
	resolveAttempts = 24
	resolveFirst    = 5 * time.Millisecond
	resolveMax      = 500 * time.Millisecond
)

// mutateAttempts bounds how often Mutate begins again after somebody else won.
const mutateAttempts = 100

// Client reads and changes values in the name of one writer. It is safe for concurrent use.
type Client struct {
	store  Store
	writer string

	mu struct {
		sync.Mutex
		random *rand.Rand
	}
}

// NewClient returns a client that writes as writer and takes its nonces from random, which it
// owns from then on. The store stays the caller's to close.
func NewClient(store Store, writer string, random *rand.Rand) *Client {
	c := &Client{store: store, writer: writer}
	c.mu.random = random
	return c
}

// Store returns the store below.
func (c *Client) Store() Store { return c.store }

// Get reads a key; see [Store].
func (c *Client) Get(ctx context.Context, bucket Bucket, key string) (Value, error) {
	return c.store.Get(ctx, bucket, key)
}

// CompareAndSet writes data if the key has this revision, 0 for no value, and returns the new
// revision. If the outcome is unknown it repeats the same write, nonce included, and reads the
// key again until one of them tells: two of the same write cannot both succeed. It fails with
// [ErrConflict] (this call wrote nothing), [ErrTooLarge], [ErrUnavailable] (nothing written), or with
// [ErrUnknown] if nobody could tell before ctx ended or about 10 s had passed, or if somebody else
// has written over what this call may have written.
func (c *Client) CompareAndSet(ctx context.Context, bucket Bucket, key string, data []byte, revision uint64) (uint64, error) {
	e := Envelope{Writer: c.writer, Nonce: c.nonce(), Data: data}
	unknown := false
	var last error
	for attempt := range resolveAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				break
			}
		}
		next, err := c.put(ctx, bucket, key, e, revision)
		switch {
		case err == nil:
			return next, nil
		case errors.Is(err, ErrUnknown):
			unknown, last = true, err
		case !unknown:
			return 0, err
		case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnavailable):
			return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
		default:
			last = err
		}
		v, err := c.store.Get(ctx, bucket, key)
		switch {
		case err == nil && v.Nonce == e.Nonce && v.Writer == e.Writer:
			return v.Revision, nil
		case err == nil && v.Revision > revision:
			// The store has moved on from our revision, so a copy of this write still under way cannot
			// succeed any more; one that succeeded has been written over.
			return 0, fmt.Errorf("%w: %s/%s was written by %q meanwhile", ErrUnknown, bucket, key, v.Writer)
		case err != nil:
			last = err
		}
	}
	return 0, fmt.Errorf("%w: %w", ErrUnknown, last)
}

// Create writes data to a key that has no value: CompareAndSet with revision 0.
func (c *Client) Create(ctx context.Context, bucket Bucket, key string, data []byte) (uint64, error) {
	return c.CompareAndSet(ctx, bucket, key, data, 0)
}

// Mutate reads the key, asks change for the new data and writes it by compare-and-set, again from
// the start if somebody else was faster or may have been. Change gets a Value of revision 0 if
// the key has none; it must be safe to apply twice, because a write that was written over before
// its outcome was known is made again. Change's error ends Mutate and is returned as it is.
func (c *Client) Mutate(ctx context.Context, bucket Bucket, key string, change func(Value) ([]byte, error)) (Value, error) {
	var last error
	for attempt := range mutateAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				return Value{}, fmt.Errorf("%w: %w", err, last)
			}
		}
		v, err := c.store.Get(ctx, bucket, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Value{}, err
		}
		data, err := change(v)
		if err != nil {
			return Value{}, err
		}
		revision, err := c.CompareAndSet(ctx, bucket, key, data, v.Revision)
		if err == nil {
			return Value{Envelope: Envelope{Writer: c.writer, Data: data}, Revision: revision}, nil
		}
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			return Value{}, err
		}
		last = err
	}
	return Value{}, last
}

// Delete removes the value that has this revision. A deletion of unknown outcome is repeated; that
// the key then has no value, or another one, counts as success: this revision is gone.
func (c *Client) Delete(ctx context.Context, bucket Bucket, key string, revision uint64) error {
	var last error
	for attempt := range resolveAttempts {
		if attempt > 0 {
			if err := pause(ctx, attempt); err != nil {
				break
			}
		}
		err := c.store.Delete(ctx, bucket, key, revision)
		if last != nil && errors.Is(err, ErrConflict) {
			return nil
		}
		if err == nil || last == nil && !errors.Is(err, ErrUnknown) {
			return err
		}
		last = err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, last)
}

func (c *Client) put(ctx context.Context, bucket Bucket, key string, e Envelope, revision uint64) (uint64, error) {
	if revision == 0 {
		return c.store.Create(ctx, bucket, key, e)
	}
	return c.store.Update(ctx, bucket, key, e, revision)
}

func (c *Client) nonce() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.random.Uint64()
}

// pause waits before attempt, from 1, twice as long each time up to a bound.
func pause(ctx context.Context, attempt int) error {
	wait, cancel := context.WithTimeout(ctx, min(resolveFirst<<min(attempt-1, 10), resolveMax))
	defer cancel()
	<-wait.Done()
	return context.Cause(ctx)
}
