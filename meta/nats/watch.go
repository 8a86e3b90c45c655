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
	if !s.beginWatch() {
		return nil, fmt.Errorf("%w: closed", meta.ErrUnavailable)
	}
	w, err := s.buckets[b].kv.WatchAll(ctx)
	if err != nil {
		s.watches.Done()
		return nil, fmt.Errorf("%w: watch bucket %s: %w", meta.ErrUnavailable, b, err)
	}
	events := make(chan meta.Event)
	go func() {
		defer s.watches.Done()
		defer close(events)
		s.feed(ctx, w, events)
		// The library's callback may be waiting to hand over one more entry, and the channel closes only
		// behind it. That the subscription is gone already, with ctx, is as good.
		_ = w.Stop()
		for e := range w.Updates() {
			_ = e
		}
	}()
	return events, nil
}

// beginWatch counts a watch that Close has to wait for, unless the store is closed.
func (s *Store) beginWatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return false
	}
	s.watches.Add(1)
	return true
}

func (s *Store) feed(ctx context.Context, w jetstream.KeyWatcher, events chan<- meta.Event) {
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
