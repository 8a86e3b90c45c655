package metatest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/stratamq/stratamq/meta"
)

// Rates are how often a call is lied about, each from 0 to 1. Those of a write exclude each other,
// so their sum is at most 1.
type Rates struct {
	Unavailable float64 // a call is refused; nothing happened
	Lost        float64 // a write did not happen, and its outcome is unknown
	Applied     float64 // a write happened, and its outcome is unknown
	Late        float64 // a write of unknown outcome happens before some later call
	Stale       float64 // a read answers with what an earlier read saw
}

// Applied is a write that really took effect.
type Applied struct {
	Bucket   meta.Bucket
	Key      string
	Revision uint64
	Envelope meta.Envelope
}

// Faulty is a store that lies about another one. It serializes all calls.
type Faulty struct {
	meta.Store

	mu struct {
		sync.Mutex
		random  *rand.Rand
		rates   Rates
		late    []func()
		seen    map[string]meta.Value
		applied []Applied
		faults  int
	}
}

// NewFaulty returns a store that lies about s as often as rates say. Random belongs to it.
func NewFaulty(s meta.Store, random *rand.Rand, rates Rates) *Faulty {
	f := &Faulty{Store: s}
	f.mu.random, f.mu.rates, f.mu.seen = random, rates, make(map[string]meta.Value)
	return f
}

// SetRates changes how often it lies from now on; writes that are late stay so.
func (f *Faulty) SetRates(rates Rates) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.rates = rates
}

// Applied returns the writes that took effect, in order.
func (f *Faulty) Applied() []Applied {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Applied(nil), f.mu.applied...)
}

// Faults returns how many calls were lied about.
func (f *Faulty) Faults() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.faults
}

// Get implements [meta.Store].
func (f *Faulty) Get(ctx context.Context, bucket meta.Bucket, key string) (meta.Value, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landLocked()
	if f.hitLocked(f.mu.rates.Unavailable) {
		return meta.Value{}, fmt.Errorf("%w: injected", meta.ErrUnavailable)
	}
	name := string(bucket) + " " + key
	if old, ok := f.mu.seen[name]; ok && f.hitLocked(f.mu.rates.Stale) {
		return old, nil
	}
	v, err := f.Store.Get(ctx, bucket, key)
	if err == nil {
		f.mu.seen[name] = v
	}
	return v, err
}

// Create implements [meta.Store].
func (f *Faulty) Create(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope) (uint64, error) {
	return f.write(ctx, bucket, key, e, func(ctx context.Context) (uint64, error) {
		return f.Store.Create(ctx, bucket, key, e)
	})
}

// Update implements [meta.Store].
func (f *Faulty) Update(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope, revision uint64) (uint64, error) {
	return f.write(ctx, bucket, key, e, func(ctx context.Context) (uint64, error) {
		return f.Store.Update(ctx, bucket, key, e, revision)
	})
}

// Delete implements [meta.Store].
func (f *Faulty) Delete(ctx context.Context, bucket meta.Bucket, key string, revision uint64) error {
	_, err := f.write(ctx, bucket, key, meta.Envelope{}, func(ctx context.Context) (uint64, error) {
		return 0, f.Store.Delete(ctx, bucket, key, revision)
	})
	return err
}

func (f *Faulty) write(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope, do func(context.Context) (uint64, error)) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landLocked()
	apply := func() (uint64, error) {
		revision, err := do(context.WithoutCancel(ctx))
		if err == nil {
			f.mu.applied = append(f.mu.applied, Applied{Bucket: bucket, Key: key, Revision: revision, Envelope: e})
		}
		return revision, err
	}
	r := f.mu.rates
	switch dice := f.mu.random.Float64(); {
	case dice < r.Unavailable:
		f.mu.faults++
		return 0, fmt.Errorf("%w: injected", meta.ErrUnavailable)
	case dice < r.Unavailable+r.Lost:
		f.mu.faults++
		return 0, fmt.Errorf("%w: injected: lost", meta.ErrUnknown)
	case dice < r.Unavailable+r.Lost+r.Applied:
		f.mu.faults++
		_, err := apply()
		return 0, fmt.Errorf("%w: injected: answer lost (%v)", meta.ErrUnknown, err) //nolint:errorlint // the answer is lost: callers must not see through it
	case dice < r.Unavailable+r.Lost+r.Applied+r.Late:
		f.mu.faults++
		f.mu.late = append(f.mu.late, func() { _, _ = apply() })
		return 0, fmt.Errorf("%w: injected: late", meta.ErrUnknown)
	default:
		return apply()
	}
}

// landLocked lets writes that are late take effect, each with an even chance.
func (f *Faulty) landLocked() {
	kept := f.mu.late[:0]
	for _, apply := range f.mu.late {
		if f.mu.random.IntN(2) == 0 {
			apply()
		} else {
			kept = append(kept, apply)
		}
	}
	f.mu.late = kept
}

func (f *Faulty) hitLocked(rate float64) bool {
	if f.mu.random.Float64() >= rate {
		return false
	}
	f.mu.faults++
	return true
}
