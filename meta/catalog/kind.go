package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/stratamq/stratamq/meta"
)

// kind holds the records of one bucket.
type kind[T meta.Topic | meta.Group] struct {
	bucket  meta.Bucket
	client  *meta.Client
	now     func() time.Time
	live    func(*T) bool
	changed func(old, r *T) // called with the lock held; may be nil

	records sync.Map // name → *T; read without a lock, written under mu

	mu struct {
		sync.Mutex
		revisions map[string]uint64    // of what records has; 0: not stored yet
		misses    map[string]time.Time // until when a name is believed not to be there
	}
	asking singleflight.Group
	slots  chan struct{}
}

func (k *kind[T]) init(bucket meta.Bucket, client *meta.Client, now func() time.Time, live func(*T) bool) {
	k.bucket, k.client, k.now, k.live = bucket, client, now, live
	k.mu.revisions, k.mu.misses = make(map[string]uint64), make(map[string]time.Time)
	k.slots = make(chan struct{}, missParallel)
}

func (k *kind[T]) load(name string) (*T, bool) {
	v, ok := k.records.Load(name)
	if !ok {
		return nil, false
	}
	return v.(*T), true
}

// all returns the records that keep accepts, sorted by name.
func (k *kind[T]) all(keep func(*T) bool) []*T {
	found := make(map[string]*T)
	k.records.Range(func(name, r any) bool {
		if keep(r.(*T)) {
			found[name.(string)] = r.(*T)
		}
		return true
	})
	out := make([]*T, 0, len(found))
	for _, name := range slices.Sorted(maps.Keys(found)) {
		out = append(out, found[name])
	}
	return out
}

// put takes a record at a revision, unless a newer one is there: the watch, a read and a write of
// our own may tell of the same key in any order.
func (k *kind[T]) put(name string, r *T, revision uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if have, ok := k.mu.revisions[name]; ok && have >= revision {
		return
	}
	k.mu.revisions[name] = revision
	delete(k.mu.misses, name)
	k.storeLocked(name, r)
}

// putProvisional takes a record that is not stored yet and returns it, or the one that replace
// would not give up.
func (k *kind[T]) putProvisional(name string, r *T, replace func(*T) bool) *T {
	k.mu.Lock()
	defer k.mu.Unlock()
	if have, ok := k.load(name); ok && !replace(have) {
		return have
	}
	delete(k.mu.misses, name)
	k.storeLocked(name, r)
	return r
}

func (k *kind[T]) storeLocked(name string, r *T) {
	old, _ := k.load(name)
	if k.changed != nil {
		k.changed(old, r)
	}
	k.records.Store(name, r)
}

func (k *kind[T]) missLocked(name string) {
	if len(k.mu.misses) >= missEntries {
		clear(k.mu.misses)
	}
	k.mu.misses[name] = k.now().Add(missLifetime)
}

// lost returns the names that were stored once and are not among those that a watch has shown.
func (k *kind[T]) lost(shown map[string]struct{}) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for name := range k.mu.revisions {
		if _, ok := shown[name]; !ok {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// see takes an event of the watch.
func (k *kind[T]) see(e meta.Event) error {
	switch e.Type {
	case meta.EventPut:
		r, err := meta.DecodeRecord[T](e.Value.Data)
		if err != nil {
			return err
		}
		k.put(e.Key, &r, e.Revision)
		return nil
	case meta.EventDamaged:
		return meta.ErrDamaged
	case meta.EventDelete:
		// A record that ends becomes a tombstone. One that is gone was taken away behind our back, so
		// what is in memory stays.
		return errDeleted
	default:
		return nil
	}
}

// ask reads a name from the store, once for all who ask at a time. "Not found" is remembered.
func (k *kind[T]) ask(ctx context.Context, name string) (*T, error) {
	k.mu.Lock()
	until, missed := k.mu.misses[name]
	k.mu.Unlock()
	if missed && k.now().Before(until) {
		return nil, meta.ErrNotFound
	}
	answer := k.asking.DoChan(name, func() (any, error) {
		// Whoever asked first may leave while others still wait.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), missTimeout)
		defer cancel()
		return k.fetch(ctx, name)
	})
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return a.Val.(*T), nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, context.Cause(ctx))
	}
}

func (k *kind[T]) fetch(ctx context.Context, name string) (*T, error) {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, context.Cause(ctx))
	}
	r, revision, err := meta.GetRecord[T](ctx, k.client, k.bucket, name)
	switch {
	case err == nil:
		k.put(name, &r, revision)
		have, _ := k.load(name)
		if !k.live(have) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.missLocked(name)
		}
		return have, nil
	case errors.Is(err, meta.ErrNotFound):
		k.mu.Lock()
		defer k.mu.Unlock()
		if have, ok := k.load(name); ok && k.live(have) {
			return have, nil // made while we asked
		}
		k.missLocked(name)
		return nil, err
	default:
		return nil, err
	}
}
