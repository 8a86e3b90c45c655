package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/stratamq/stratamq/meta"
)

// watch remembers which keys its receiver has to hear of. It holds each key once, however often
// it changed, so a slow receiver costs at most the keys of the bucket.
type watch struct {
	wake chan struct{} // capacity 1: something is pending

	// Guarded by Data.mu.
	pending []string
	queued  map[string]struct{}
}

// Watch implements [meta.Store].
func (s *Store) Watch(ctx context.Context, bucket meta.Bucket) (<-chan meta.Event, error) {
	if err := s.checkListable(ctx, bucket); err != nil {
		return nil, err
	}
	w := &watch{wake: make(chan struct{}, 1), queued: make(map[string]struct{})}
	s.data.mu.Lock()
	b := s.data.mu.buckets[bucket]
	initial := slices.Sorted(maps.Keys(b.values))
	for _, key := range initial {
		w.add(key)
	}
	b.watches[w] = struct{}{}
	s.data.mu.Unlock()

	events := make(chan meta.Event)
	s.watches.Go(func() {
		defer close(events)
		defer func() {
			s.data.mu.Lock()
			delete(b.watches, w)
			s.data.mu.Unlock()
		}()
		s.feed(ctx, bucket, w, len(initial), events)
	})
	return events, nil
}

// feed sends what is pending; the first initial keys are those that EventSynced follows.
func (s *Store) feed(ctx context.Context, bucket meta.Bucket, w *watch, initial int, events chan<- meta.Event) {
	send := func(e meta.Event) bool {
		select {
		case events <- e:
			return true
		case <-ctx.Done():
			return false
		case <-s.closed:
			return false
		}
	}
	if initial == 0 && !send(meta.Event{Type: meta.EventSynced}) {
		return
	}
	for {
		for {
			e, ok := s.next(bucket, w)
			if !ok {
				break
			}
			if !send(e) {
				return
			}
			if initial--; initial == 0 && !send(meta.Event{Type: meta.EventSynced}) {
				return
			}
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		}
	}
}

// next takes the first pending key and returns the event of its state now.
func (s *Store) next(bucket meta.Bucket, w *watch) (meta.Event, bool) {
	s.data.mu.Lock()
	defer s.data.mu.Unlock()
	if len(w.pending) == 0 {
		return meta.Event{}, false
	}
	key := w.pending[0]
	w.pending = w.pending[1:]
	delete(w.queued, key)
	b := s.data.mu.buckets[bucket]
	c, ok := b.values[key]
	if !ok {
		return meta.Event{Type: meta.EventDelete, Key: key, Revision: b.revision}, true
	}
	v, err := c.decode()
	if err != nil {
		return meta.Event{Type: meta.EventDamaged, Key: key, Revision: c.revision}, true
	}
	return meta.Event{Type: meta.EventPut, Key: key, Revision: c.revision, Value: v}, true
}

// changed tells every watch of the bucket. It is called with Data.mu held.
func (b *bucketData) changed(key string) {
	for w := range b.watches {
		w.add(key)
	}
}

func (w *watch) add(key string) {
	if _, ok := w.queued[key]; !ok {
		w.queued[key] = struct{}{}
		w.pending = append(w.pending, key)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
