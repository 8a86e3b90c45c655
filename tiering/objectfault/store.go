// Package objectfault wraps an object store so that tests can make any call fail, in both ways that a bucket knows:
// it failed, and it failed but took effect.
//
// While nothing is armed it is the store it wraps, and keeps the same contract.
package objectfault

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/stratamq/stratamq/tiering"
)

// Mode says how a call goes wrong.
type Mode int

// The modes. The zero value lets the call through.
const (
	None   Mode = iota
	Before      // it fails and does nothing
	After       // it takes effect, and fails: the answer was lost
	Damage      // a get succeeds with one bit flipped; other calls go through
)

// Fault is what happens to one call.
type Fault struct {
	Mode Mode
	Err  error // of Before and After; nil stands for [tiering.ErrUnavailable]
}

// Call describes a call that is about to be made.
type Call struct {
	N   int    // counts the calls of the store from 1, in the order of their begin
	Op  string // as in [tiering.OpError]
	Key string // or the prefix of a list
}

// Store is a [tiering.ObjectStore] with faults.
type Store struct {
	store tiering.ObjectStore

	mu struct {
		sync.Mutex
		calls  int
		decide func(Call) Fault // nil: no faults
	}
}

var _ tiering.ObjectStore = (*Store)(nil)

// Wrap returns the store with no fault armed. Closing it closes store.
func Wrap(store tiering.ObjectStore) *Store { return &Store{store: store} }

// Arm lets decide choose the fault of every call from now on; nil disarms. Decide is called by one goroutine at a
// time and must not call the store.
func (s *Store) Arm(decide func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.decide = decide
}

// Calls returns how many calls have begun.
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.calls
}

// next returns the fault of a call that begins now, its error complete.
func (s *Store) next(op, key string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.calls++
	if s.mu.decide == nil {
		return Fault{}
	}
	fault := s.mu.decide(Call{N: s.mu.calls, Op: op, Key: key})
	err := fault.Err
	if err == nil {
		err = tiering.ErrUnavailable
	}
	fault.Err = &tiering.OpError{Op: op, Key: key, Err: fmt.Errorf("injected: %w", err)}
	return fault
}

// run makes a call with its fault.
func (s *Store) run(op, key string, call func() error) error {
	fault := s.next(op, key)
	if fault.Mode == Before {
		return fault.Err
	}
	err := call()
	if fault.Mode == After && err == nil {
		return fault.Err
	}
	return err
}

// Put implements [tiering.ObjectStore].
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64, opts tiering.PutOptions) error {
	return s.run("put", key, func() error { return s.store.Put(ctx, key, body, size, opts) })
}

// GetRange implements [tiering.ObjectStore].
func (s *Store) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	fault := s.next("get", key)
	if fault.Mode == Before {
		return fault.Err
	}
	err := s.store.GetRange(ctx, key, dst, off)
	switch {
	case err == nil && fault.Mode == After:
		return fault.Err
	case err == nil && fault.Mode == Damage && len(dst) > 0:
		dst[len(dst)/2] ^= 0x10
	}
	return err
}

// Head implements [tiering.ObjectStore].
func (s *Store) Head(ctx context.Context, key string) (info tiering.ObjectInfo, err error) {
	err = s.run("head", key, func() error {
		info, err = s.store.Head(ctx, key)
		return err
	})
	return info, err
}

// Delete implements [tiering.ObjectStore].
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.run("delete", key, func() error { return s.store.Delete(ctx, key) })
}

// List implements [tiering.ObjectStore]. After ends the list behind its first object.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[tiering.ObjectInfo, error] {
	return func(yield func(tiering.ObjectInfo, error) bool) {
		fault := s.next("list", prefix)
		if fault.Mode == Before {
			yield(tiering.ObjectInfo{}, fault.Err)
			return
		}
		for info, err := range s.store.List(ctx, prefix, after) {
			if !yield(info, err) {
				return
			}
			if fault.Mode == After {
				break
			}
		}
		if fault.Mode == After {
			yield(tiering.ObjectInfo{}, fault.Err)
		}
	}
}

// String names the store that is wrapped.
func (s *Store) String() string { return s.store.String() }

// Close closes the store that is wrapped.
func (s *Store) Close() error { return s.store.Close() }

type upload struct {
	store *Store
	key   string
	inner tiering.Upload
}

// Create implements [tiering.ObjectStore]. After leaves an upload that nobody ends.
func (s *Store) Create(ctx context.Context, key string, partSize int64) (tiering.Upload, error) {
	var inner tiering.Upload
	err := s.run("create", key, func() (err error) {
		inner, err = s.store.Create(ctx, key, partSize)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &upload{store: s, key: key, inner: inner}, nil
}

// Part implements [tiering.Upload].
func (u *upload) Part(ctx context.Context, number int, body []byte) error {
	return u.store.run("part", u.key, func() error { return u.inner.Part(ctx, number, body) })
}

// Complete implements [tiering.Upload].
func (u *upload) Complete(ctx context.Context, n int, opts tiering.PutOptions) error {
	return u.store.run("complete", u.key, func() error { return u.inner.Complete(ctx, n, opts) })
}

// Abort implements [tiering.Upload].
func (u *upload) Abort(ctx context.Context) error {
	return u.store.run("abort", u.key, func() error { return u.inner.Abort(ctx) })
}
