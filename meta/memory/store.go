package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/meta"
)

// Store is an open store on a [Data]. Several may be open on one, like processes on one server.
type Store struct {
	data    *Data
	closing sync.Once
	closed  chan struct{} // ends every watch
	watches sync.WaitGroup
}

var _ meta.Store = (*Store)(nil)

// Open returns a store on d.
func Open(d *Data) *Store {
	return &Store{data: d, closed: make(chan struct{})}
}

// Get implements [meta.Store].
func (s *Store) Get(ctx context.Context, bucket meta.Bucket, key string) (meta.Value, error) {
	if err := s.check(ctx, bucket, key); err != nil {
		return meta.Value{}, err
	}
	s.data.mu.Lock()
	c, ok := s.data.mu.buckets[bucket].values[key]
	s.data.mu.Unlock()
	if !ok {
		return meta.Value{}, fmt.Errorf("%w: %s/%s", meta.ErrNotFound, bucket, key)
	}
	v, err := c.decode()
	if err != nil {
		return meta.Value{}, fmt.Errorf("%s/%s: %w", bucket, key, err)
	}
	return v, nil
}

// Create implements [meta.Store].
func (s *Store) Create(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope) (uint64, error) {
	return s.put(ctx, bucket, key, e, 0)
}

// Update implements [meta.Store].
func (s *Store) Update(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, fmt.Errorf("%w: update of %s/%s at revision 0", meta.ErrConflict, bucket, key)
	}
	return s.put(ctx, bucket, key, e, revision)
}

func (s *Store) put(ctx context.Context, bucket meta.Bucket, key string, e meta.Envelope, revision uint64) (uint64, error) {
	if err := s.check(ctx, bucket, key); err != nil {
		return 0, err
	}
	if err := e.Check(); err != nil {
		return 0, fmt.Errorf("%s/%s: %w", bucket, key, err)
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	b := s.data.mu.buckets[bucket]
	if have := b.values[key].revision; have != revision {
		return 0, fmt.Errorf("%w: %s/%s has revision %d, not %d", meta.ErrConflict, bucket, key, have, revision)
	}
	b.revision++
	b.values[key] = cell{encoded: e.AppendTo(nil), revision: b.revision}
	b.changed(key)
	return b.revision, nil
}

// Delete implements [meta.Store].
func (s *Store) Delete(ctx context.Context, bucket meta.Bucket, key string, revision uint64) error {
	if err := s.check(ctx, bucket, key); err != nil {
		return err
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	b := s.data.mu.buckets[bucket]
	if have := b.values[key].revision; have != revision || revision == 0 {
		return fmt.Errorf("%w: %s/%s has revision %d, not %d", meta.ErrConflict, bucket, key, have, revision)
	}
	b.revision++
	delete(b.values, key)
	b.changed(key)
	return nil
}

// Keys implements [meta.Store].
func (s *Store) Keys(ctx context.Context, bucket meta.Bucket) ([]string, error) {
	if err := s.checkListable(ctx, bucket); err != nil {
		return nil, err
	}
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	return slices.Sorted(maps.Keys(s.data.mu.buckets[bucket].values)), nil
}

// Close implements [meta.Store].
func (s *Store) Close() error {
	s.closing.Do(func() { close(s.closed) })
	s.watches.Wait()
	return nil
}

func (s *Store) check(ctx context.Context, bucket meta.Bucket, key string) error {
	if err := meta.CheckKey(bucket, key); err != nil {
		return err
	}
	return s.checkOpen(ctx)
}

func (s *Store) checkListable(ctx context.Context, bucket meta.Bucket) error {
	if !bucket.Listable() {
		return fmt.Errorf("list bucket %q: %w", string(bucket), errors.ErrUnsupported)
	}
	return s.checkOpen(ctx)
}

func (s *Store) checkOpen(ctx context.Context) error {
	select {
	case <-s.closed:
		return fmt.Errorf("%w: closed", meta.ErrUnavailable)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", meta.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}
