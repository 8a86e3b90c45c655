package history_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
)

// counter counts the requests that reach the bucket.
type counter struct {
	tiering.ObjectStore

	mu       sync.Mutex
	requests int
	bytes    int
}

func (c *counter) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.bytes += n
}

// since returns how many requests there were since the last call.
func (c *counter) since() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.requests
	c.requests = 0
	return n
}

func (c *counter) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	c.count(len(dst))
	return c.ObjectStore.GetRange(ctx, key, dst, off)
}

func (c *counter) Head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	c.count(0)
	return c.ObjectStore.Head(ctx, key)
}

// TestRequestsOfASeek: by offset two requests, by time at most three, one fewer with a warm directory; reading on from
// there costs none until the range that was fetched ends. The manifest is known and values come from the metadata store.
func TestRequestsOfASeek(t *testing.T) {
	w := newWorld(t, openFile(t), 4)
	o := w.offloader()
	qs := queues(1, 8)
	for range 3 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 3000, Queues: qs, MaxBody: 600})
		w.seal(t.Context(), o)
	}
	store := &counter{ObjectStore: w.store}
	sequence := w.shard.LastSeal().Sequence
	config := smallConfig()
	config.ReadAhead = false
	fresh := func() *history.History {
		h := w.history(store, config)
		if _, _, err := h.QueueBounds(t.Context(), w.shard.Shard(), qs[0]); err != nil { // the manifest, once
			t.Fatal(err)
		}
		store.since()
		return h
	}
	seek := func(h *history.History, q message.Queue, from message.Offset) {
		t.Helper()
		got, err := h.Read(t.Context(), w.shard.Shard(), q, from, 10, 1<<20, sequence)
		if err != nil || len(got) == 0 {
			t.Fatal(len(got), err)
		}
		w.same(q, from, got)
	}
	h := fresh()
	seek(h, qs[0], 500)
	if n := store.since(); n > 2 {
		t.Errorf("a seek by offset took %d requests", n)
	}
	seek(h, qs[1], 500) // the same segment, another queue
	if n := store.since(); n > 1 {
		t.Errorf("a seek by offset with a warm directory took %d requests", n)
	}
	h = fresh()
	for i := range 20 {
		model := w.shard.Model(qs[i%8])
		at := message.Stored(model[w.random.IntN(len(model))].Stored).StoreTime()
		if _, found, err := h.OffsetAt(t.Context(), w.shard.Shard(), qs[i%8], at, sequence); err != nil || !found {
			t.Fatal(found, err)
		}
		limit := 3
		if i > 0 {
			limit = 2
		}
		if n := store.since(); n > limit {
			t.Errorf("a seek by time took %d requests", n)
		}
	}
	h = fresh()
	next := message.Offset(0)
	for _, q := range qs[:1] {
		for int(next) < 900 {
			got, err := h.Read(t.Context(), w.shard.Shard(), q, next, 32, 1<<20, sequence)
			if err != nil || len(got) == 0 {
				t.Fatal(len(got), err)
			}
			next += message.Offset(len(got))
		}
	}
	if n := store.since(); n > 3*2+12 {
		t.Errorf("reading 900 messages of 3 objects took %d requests", n)
	} else {
		t.Logf("reading 900 messages of 3 objects took %d requests", n)
	}
}

// TestOffsetAt compares with the model for times before, in, between and after all messages.
func TestOffsetAt(t *testing.T) {
	w := newWorld(t, openFile(t), 5)
	o := w.offloader()
	qs := queues(2, 2)
	for range 4 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 500, Queues: qs, MaxBody: 200})
		w.seal(t.Context(), o)
	}
	h := w.history(w.store, smallConfig())
	for _, q := range qs {
		model := w.shard.Model(q)
		first, last := message.Stored(model[0].Stored).StoreTime(), message.Stored(model[len(model)-1].Stored).StoreTime()
		for at := first - 2; at <= last+2; at += 1 + int64(w.random.IntN(9)) {
			want, exists := message.Offset(0), false
			for _, m := range model {
				if message.Stored(m.Stored).StoreTime() >= at {
					want, exists = m.Offset, true
					break
				}
			}
			got, found, err := h.OffsetAt(t.Context(), w.shard.Shard(), q, at, w.shard.LastSeal().Sequence)
			if err != nil || got != want || found != exists {
				t.Fatalf("queue %s at %d: offset %d, %v, %v; want %d, %v", q, at, got, found, err, want, exists)
			}
		}
	}
}

// TestLookup finds every message by its id and all messages of a key, newest first, and nothing else.
func TestLookup(t *testing.T) {
	w := newWorld(t, openFile(t), 6)
	o := w.offloader()
	qs := queues(3, 2)
	for range 4 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 400, Queues: qs, MaxBody: 200, Keys: 30})
		w.seal(t.Context(), o)
	}
	h := w.history(w.store, smallConfig())
	find := func(topic message.TopicID, kind message.IndexKind, text string, limit int) []message.Located {
		t.Helper()
		got, err := h.Lookup(t.Context(), w.shard.Shard(), topic, kind, text, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range got {
			w.same(m.Queue, m.Offset, got[i:i+1])
		}
		return got
	}
	byKey := map[message.TopicID]map[string]int{}
	for _, q := range qs {
		for i, m := range w.shard.Model(q) {
			properties := message.Stored(m.Stored).Properties()
			key, _ := message.Property(properties, message.PropertyKeys)
			if byKey[q.Topic] == nil {
				byKey[q.Topic] = map[string]int{}
			}
			byKey[q.Topic][string(key)]++
			if i%10 != 0 {
				continue
			}
			id, _ := message.Property(properties, message.PropertyMessageID)
			if got := find(q.Topic, message.IndexByID, string(id), 10); len(got) != 1 || got[0].Queue != q || got[0].Offset != m.Offset {
				t.Fatalf("id %s: %d messages", id, len(got))
			}
		}
	}
	for topic, keys := range byKey {
		for key, n := range keys {
			got := find(topic, message.IndexByKey, key, 10_000)
			if len(got) != n {
				t.Errorf("topic %s, key %s: %d messages, want %d", topic, key, len(got), n)
			}
			for i := range got[:max(len(got)-1, 0)] {
				if message.Stored(got[i].Stored).StoreTime() < message.Stored(got[i+1].Stored).StoreTime() {
					t.Errorf("topic %s, key %s: result %d is older than the one behind it", topic, key, i)
				}
			}
			if few := find(topic, message.IndexByKey, key, 3); len(few) != min(3, n) {
				t.Errorf("topic %s, key %s: %d messages of at most 3", topic, key, len(few))
			}
		}
	}
	if got := find(1, message.IndexByKey, "no such key", 10); len(got) != 0 {
		t.Errorf("%d messages of a key that nobody used", len(got))
	}
}
