package server

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync/atomic"

	"github.com/stratamq/stratamq/tiering"
)

// lateStore is an object store that may be opened after those who use it: until then every call fails
// with [tiering.ErrUnavailable], as it would while a store does not answer.
type lateStore struct {
	location tiering.Location
	opened   atomic.Pointer[tiering.ObjectStore]
}

var _ tiering.ObjectStore = (*lateStore)(nil)

func (s *lateStore) open(store tiering.ObjectStore) { s.opened.Store(&store) }

func (s *lateStore) store() (tiering.ObjectStore, error) {
	if store := s.opened.Load(); store != nil {
		return *store, nil
	}
	return nil, fmt.Errorf("%w: %s has not answered since the start", tiering.ErrUnavailable, s.location)
}

// Put implements [tiering.ObjectStore].
func (s *lateStore) Put(ctx context.Context, key string, body io.ReaderAt, size int64, opts tiering.PutOptions) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	return store.Put(ctx, key, body, size, opts)
}

// Create implements [tiering.ObjectStore].
func (s *lateStore) Create(ctx context.Context, key string, partSize int64) (tiering.Upload, error) {
	store, err := s.store()
	if err != nil {
		return nil, err
	}
	return store.Create(ctx, key, partSize)
}

// GetRange implements [tiering.ObjectStore].
func (s *lateStore) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	return store.GetRange(ctx, key, dst, off)
}

// Head implements [tiering.ObjectStore].
func (s *lateStore) Head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	store, err := s.store()
	if err != nil {
		return tiering.ObjectInfo{}, err
	}
	return store.Head(ctx, key)
}

// Delete implements [tiering.ObjectStore].
func (s *lateStore) Delete(ctx context.Context, key string) error {
	store, err := s.store()
	if err != nil {
		return err
	}
	return store.Delete(ctx, key)
}

// List implements [tiering.ObjectStore].
func (s *lateStore) List(ctx context.Context, prefix, after string) iter.Seq2[tiering.ObjectInfo, error] {
	store, err := s.store()
	if err != nil {
		return func(yield func(tiering.ObjectInfo, error) bool) { yield(tiering.ObjectInfo{}, err) }
	}
	return store.List(ctx, prefix, after)
}

// String implements [tiering.ObjectStore].
func (s *lateStore) String() string { return s.location.String() }

// Close implements [tiering.ObjectStore].
func (s *lateStore) Close() error {
	store, err := s.store()
	if err != nil {
		return nil //nolint:nilerr // what was never opened holds nothing
	}
	return store.Close()
}
