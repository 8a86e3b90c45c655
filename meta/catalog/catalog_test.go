package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/catalog"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/meta/metatest"
)

func newCluster(t *testing.T) *memory.Data {
	t.Helper()
	data := memory.NewData()
	client := meta.NewClient(memory.Open(data), "setup", rand.New(rand.NewPCG(1, 1)))
	err := meta.CreateCluster(t.Context(), client, meta.Cluster{
		ID: "c", Name: "c", Incarnation: "i", NextTopicID: 1, Shards: []message.ShardID{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newCatalog(s meta.Store, seed uint64) *catalog.Catalog {
	client := meta.NewClient(s, fmt.Sprintf("catalog-%d", seed), rand.New(rand.NewPCG(seed, 2)))
	return catalog.New(client, time.Now, slog.New(slog.DiscardHandler))
}

// run starts the catalog and ends it with the test; it returns once the catalog is ready.
func run(t *testing.T, c *catalog.Catalog) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	<-c.Ready()
}

func normal(name string) meta.Topic {
	return meta.Topic{Name: name, Queues: 4, Type: meta.TypeNormal, Ack: meta.AckDurable}
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTopicLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := newCluster(t)
		ctx, c, other := t.Context(), newCatalog(memory.Open(data), 1), newCatalog(memory.Open(data), 2)
		run(t, c)
		run(t, other)

		_, err := c.TopicByName(ctx, "orders")
		want(t, err, meta.ErrNotFound)
		_, err = c.CreateTopic(ctx, meta.Topic{Name: "orders"})
		want(t, err, meta.ErrInvalid)
		first, err := c.CreateTopic(ctx, normal("orders"))
		must(t, err)
		if first.ID == 0 || first.Version != 1 || len(first.Shards) != 4 {
			t.Errorf("created %+v", first)
		}
		_, err = c.CreateTopic(ctx, normal("orders"))
		want(t, err, meta.ErrExists)
		_, err = other.CreateTopic(ctx, normal("orders"))
		want(t, err, meta.ErrExists)

		synctest.Wait()
		if seen, err := other.TopicByName(ctx, "orders"); err != nil || seen.ID != first.ID {
			t.Errorf("the other catalog: %+v, %v", seen, err)
		}

		grown, err := other.UpdateTopic(ctx, "orders", func(r *meta.Topic) error {
			r.Queues, r.Shards = 5, append(r.Shards, 1)
			r.RetentionAge = time.Hour
			return nil
		})
		must(t, err)
		if grown.Version != 2 || grown.Queues != 5 || grown.ID != first.ID {
			t.Errorf("updated %+v", grown)
		}
		for name, change := range map[string]func(*meta.Topic){
			"fewer queues": func(r *meta.Topic) { r.Queues, r.Shards = 1, r.Shards[:1] },
			"moved queue":  func(r *meta.Topic) { r.Shards[0] = 9 },
			"name":         func(r *meta.Topic) { r.Name = "x" },
			"id":           func(r *meta.Topic) { r.ID = 99 },
			"deletion":     func(r *meta.Topic) { r.Deleted = time.Now() },
			"ack mode":     func(r *meta.Topic) { r.Ack = "never" },
		} {
			_, err := c.UpdateTopic(ctx, "orders", func(r *meta.Topic) error { change(r); return nil })
			if !errors.Is(err, meta.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}

		tomb, err := c.DeleteTopic(ctx, "orders")
		must(t, err)
		if tomb.Live() || len(tomb.Ended) != 1 || tomb.Ended[0] != first.ID {
			t.Errorf("tombstone %+v", tomb)
		}
		_, err = c.TopicByName(ctx, "orders")
		want(t, err, meta.ErrNotFound)
		_, err = c.DeleteTopic(ctx, "orders")
		want(t, err, meta.ErrNotFound)
		_, err = c.UpdateTopic(ctx, "orders", func(*meta.Topic) error { return nil })
		want(t, err, meta.ErrNotFound)

		again, err := other.CreateTopic(ctx, normal("orders"))
		must(t, err)
		if again.ID <= first.ID || again.Version <= tomb.Version || len(again.Ended) != 1 {
			t.Errorf("made anew %+v after %+v", again, tomb)
		}
		synctest.Wait()
		if old, ok := c.TopicByID(first.ID); !ok || old.Live() {
			t.Errorf("the old id: %+v, %t", old, ok)
		}
		if now, ok := c.TopicByID(again.ID); !ok || !now.Live() {
			t.Errorf("the new id: %+v, %t", now, ok)
		}
		if ended := c.EndedTopics(); len(ended) != 1 {
			t.Errorf("ended %+v", ended)
		}
		must(t, c.ConfirmEnded(ctx, "orders", first.ID))
		if ended := c.EndedTopics(); len(ended) != 0 {
			t.Errorf("ended %+v", ended)
		}
		if all := c.Topics(); len(all) != 1 || all[0].ID != again.ID {
			t.Errorf("topics %+v", all)
		}
	})
}

// deaf is a store whose watches show what was there and then nothing more; it counts reads.
type deaf struct {
	meta.Store
	reads atomic.Int64
	down  atomic.Bool
}

func (d *deaf) Get(ctx context.Context, b meta.Bucket, key string) (meta.Value, error) {
	d.reads.Add(1)
	if d.down.Load() {
		return meta.Value{}, meta.ErrUnavailable
	}
	return d.Store.Get(ctx, b, key)
}

func (d *deaf) Create(ctx context.Context, b meta.Bucket, key string, e meta.Envelope) (uint64, error) {
	if d.down.Load() {
		return 0, meta.ErrUnavailable
	}
	return d.Store.Create(ctx, b, key, e)
}

func (d *deaf) Watch(ctx context.Context, b meta.Bucket) (<-chan meta.Event, error) {
	in, err := d.Store.Watch(ctx, b)
	if err != nil {
		return nil, err
	}
	out := make(chan meta.Event)
	go func() {
		defer close(out)
		synced := false
		for e := range in {
			if !synced {
				select {
				case out <- e:
				case <-ctx.Done():
				}
			}
			synced = synced || e.Type == meta.EventSynced
		}
	}()
	return out, nil
}

func TestMissAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := newCluster(t)
		store := &deaf{Store: memory.Open(data)}
		ctx, c, other := t.Context(), newCatalog(store, 1), newCatalog(memory.Open(data), 2)
		run(t, c)

		made, err := other.CreateTopic(ctx, normal("made-elsewhere"))
		must(t, err)
		if got, err := c.TopicByName(ctx, "made-elsewhere"); err != nil || got.ID != made.ID {
			t.Errorf("behind a watch that lags: %+v, %v", got, err)
		}

		store.reads.Store(0)
		for range 100 {
			_, err := c.TopicByName(ctx, "nowhere")
			want(t, err, meta.ErrNotFound)
		}
		if n := store.reads.Load(); n != 1 {
			t.Errorf("%d questions for one name within a second", n)
		}
		_, err = other.CreateTopic(ctx, normal("nowhere"))
		must(t, err)
		time.Sleep(1100 * time.Millisecond)
		if _, err := c.TopicByName(ctx, "nowhere"); err != nil {
			t.Errorf("after the lifetime of a miss: %v", err)
		}

		// A topic that was deleted and made anew behind the watch's back.
		_, err = c.DeleteTopic(ctx, "nowhere")
		must(t, err)
		_, err = c.TopicByName(ctx, "nowhere")
		want(t, err, meta.ErrNotFound)
		store.reads.Store(0)
		_, err = c.TopicByName(ctx, "nowhere")
		want(t, err, meta.ErrNotFound)
		if n := store.reads.Load(); n != 0 {
			t.Errorf("%d questions for a tombstone within a second", n)
		}
		_, err = other.CreateTopic(ctx, normal("nowhere"))
		must(t, err)
		time.Sleep(1100 * time.Millisecond)
		if _, err := c.TopicByName(ctx, "nowhere"); err != nil {
			t.Errorf("made anew: %v", err)
		}

		store.down.Store(true)
		_, err = c.TopicByName(ctx, "never-seen")
		want(t, err, meta.ErrUnavailable)
		if _, err := c.TopicByName(ctx, "nowhere"); err != nil {
			t.Errorf("a known topic without the store: %v", err)
		}
	})
}

func TestGroupFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := newCluster(t)
		store := &deaf{Store: memory.Open(data)}
		raw := meta.NewClient(memory.Open(data), "raw", rand.New(rand.NewPCG(3, 3)))
		ctx, c := t.Context(), newCatalog(store, 1)
		run(t, c)

		_, err := c.GroupByName(ctx, "g")
		want(t, err, meta.ErrNotFound)
		store.down.Store(true)
		g, err := c.EnsureGroup(ctx, "g")
		must(t, err)
		if g.Generation != 1 || g.MaxAttempts != meta.DefaultMaxAttempts || !g.Live() {
			t.Errorf("first use %+v", g)
		}
		if again, err := c.EnsureGroup(ctx, "g"); err != nil || again != g {
			t.Errorf("second use %p after %p, %v", again, g, err)
		}
		if _, err := c.GroupByName(ctx, "g"); err != nil {
			t.Errorf("by name: %v", err)
		}
		_, _, err = meta.GetRecord[meta.Group](ctx, raw, meta.BucketGroups, "g")
		want(t, err, meta.ErrNotFound)

		store.down.Store(false)
		time.Sleep(20 * time.Second)
		stored, _, err := meta.GetRecord[meta.Group](ctx, raw, meta.BucketGroups, "g")
		if err != nil || stored.Generation != 1 {
			t.Errorf("stored behind: %+v, %v", stored, err)
		}

		_, err = c.DeleteGroup(ctx, "g")
		must(t, err)
		_, err = c.GroupByName(ctx, "g")
		want(t, err, meta.ErrNotFound)
		g, err = c.EnsureGroup(ctx, "g")
		must(t, err)
		if g.Generation != 2 {
			t.Errorf("after the deletion: %+v", g)
		}
		synctest.Wait()
		stored, _, err = meta.GetRecord[meta.Group](ctx, raw, meta.BucketGroups, "g")
		if err != nil || stored.Generation != 2 || !stored.Live() {
			t.Errorf("stored behind: %+v, %v", stored, err)
		}
		_, err = c.CreateGroup(ctx, meta.DefaultGroup("g", time.Now()))
		want(t, err, meta.ErrExists)
		updated, err := c.UpdateGroup(ctx, "g", func(r *meta.Group) error { r.MaxAttempts = 3; return nil })
		if err != nil || updated.MaxAttempts != 3 || updated.Version <= g.Version {
			t.Errorf("updated %+v, %v", updated, err)
		}
		_, err = c.EnsureGroup(ctx, "")
		want(t, err, meta.ErrInvalid)
	})
}

func TestRaces(t *testing.T) {
	data := newCluster(t)
	const catalogs, names = 4, 5
	var all []*catalog.Catalog
	for i := range uint64(catalogs) {
		faulty := metatest.NewFaulty(memory.Open(data), rand.New(rand.NewPCG(i, 9)), metatest.Rates{Lost: 0.05, Applied: 0.1, Late: 0.05, Stale: 0.1})
		all = append(all, newCatalog(faulty, i))
		run(t, all[i])
	}
	var mu sync.Mutex
	winners := map[string]int{}
	ids := map[message.TopicID]string{}
	letters := map[message.TopicID]struct{}{}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for n := range names {
				name := fmt.Sprintf("t%d", n)
				topic, err := c.CreateTopic(t.Context(), normal(name))
				mu.Lock()
				if err == nil {
					winners[name]++
					if other, taken := ids[topic.ID]; taken {
						t.Errorf("topics %s and %s have one id", name, other)
					}
					ids[topic.ID] = name
				} else {
					want(t, err, meta.ErrExists)
				}
				mu.Unlock()
			}
			letter, err := c.EnsureDeadLetterTopic(t.Context(), "g")
			if err != nil || letter.Name != "%DLQ%g" || letter.Queues != 1 {
				t.Errorf("dead letter topic %+v, %v", letter, err)
				return
			}
			mu.Lock()
			letters[letter.ID] = struct{}{}
			mu.Unlock()
		})
	}
	wg.Wait()
	for n := range names {
		if name := fmt.Sprintf("t%d", n); winners[name] != 1 {
			t.Errorf("topic %s was created %d times", name, winners[name])
		}
	}
	if len(letters) != 1 {
		t.Errorf("%d dead letter topics of one group", len(letters))
	}
}

func BenchmarkTopicByName(b *testing.B) {
	data := memory.NewData()
	client := meta.NewClient(memory.Open(data), "bench", rand.New(rand.NewPCG(1, 1)))
	err := meta.CreateCluster(b.Context(), client, meta.Cluster{ID: "c", Incarnation: "i", NextTopicID: 1, Shards: []message.ShardID{1}})
	if err != nil {
		b.Fatal(err)
	}
	c := newCatalog(memory.Open(data), 1)
	if _, err := c.CreateTopic(b.Context(), normal("orders")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.TopicByName(b.Context(), "orders"); err != nil {
			b.Fatal(err)
		}
	}
}
