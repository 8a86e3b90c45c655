package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/stratamq/stratamq/meta"
)

// Watch implements [meta.Store].
func (s *Store) Watch(ctx context.Context, b meta.Bucket) (<-chan meta.Event, error) {
	if !b.Listable() {
		return nil, fmt.Errorf("list bucket %q: %w", string(b), errors.ErrUnsupported)
	}
	if err := s.checkOpen(ctx); err != nil {
		return nil, err
	}
	// Close waits for the watches that have begun, so none may begin behind its back.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil, fmt.Errorf("%w: closed", meta.ErrUnavailable)
	}
	w, err := s.buckets[b].kv.WatchAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: watch bucket %s: %w", meta.ErrUnavailable, b, err)
	}
	events := make(chan meta.Event)
	s.watches.Go(func() {
		defer close(events)
		s.feed(ctx, w, events)
		// The library's callback may be waiting to hand over one more entry; it holds the
		// subscription until somebody takes it.
		if err := w.Stop(); err == nil {
			for range w.Updates() { //nolint:revive // the entries are dropped on purpose
			}
		}
	})
	return events, nil
}

func (s *Store) feed(ctx context.Context, w jetstream.KeyWatcher, events chan<- meta.Event) {
	synced := false
	for {
		var e meta.Event
		select {
		case entry, ok := <-w.Updates():
			if !ok {
				return
			}
			e = event(entry)
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		}
		if e.Type == meta.EventSynced {
			synced = true
		}
		if e.Type == meta.EventDelete && !synced {
			continue // a marker from before the watch
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		}
	}
}

// event translates an entry of the library; nil is its way to say that the initial values are through.
func event(entry jetstream.KeyValueEntry) meta.Event {
	if entry == nil {
		return meta.Event{Type: meta.EventSynced}
	}
	key, err := meta.UnescapeKey(entry.Key())
	if err != nil {
		return meta.Event{Type: meta.EventDamaged, Key: entry.Key(), Revision: entry.Revision()}
	}
	if entry.Operation() != jetstream.KeyValuePut {
		return meta.Event{Type: meta.EventDelete, Key: key, Revision: entry.Revision()}
	}
	e, err := meta.DecodeEnvelope(entry.Value())
	if err != nil {
		return meta.Event{Type: meta.EventDamaged, Key: key, Revision: entry.Revision()}
	}
	v := meta.Value{Envelope: e, Revision: entry.Revision()}
	return meta.Event{Type: meta.EventPut, Key: key, Revision: v.Revision, Value: v}
}
