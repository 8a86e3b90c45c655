package history_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
	"github.com/stratamq/stratamq/tiering/segment"
)

const cluster = "c1"

// world is a shard, a bucket, a metadata store, and what works on them.
type world struct {
	t      testing.TB
	random *rand.Rand
	shard  *offloadtest.Shard
	store  tiering.ObjectStore
	caps   tiering.Capabilities
	data   *memory.Data
	meta   meta.Store
	config offload.Config
}

func newWorld(t testing.TB, store tiering.ObjectStore, seed uint64) *world {
	data := memory.NewData()
	w := &world{t: t, random: rand.New(rand.NewPCG(seed, 1)), shard: offloadtest.New(3), store: store, data: data, meta: memory.Open(data), config: offload.DefaultConfig()}
	w.caps = tiering.Capabilities{ConditionalPut: true, ConditionalComplete: true, ChecksumVerified: true, ChecksumReturned: true, ListAfterPut: true}
	w.config.Grace, w.config.Poll = 0, 10*time.Millisecond
	w.config.RetryFirst, w.config.RetryMax = time.Millisecond, 5*time.Millisecond
	w.config.BlockSize = 4 << 10
	return w
}

func openFile(t testing.TB) tiering.ObjectStore {
	store, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// classOf puts every third topic into another class, so that segments have several objects.
func classOf(topic message.TopicID) segment.Class {
	if topic%3 == 0 {
		return segment.Class3d
	}
	return segment.ClassEver
}

func (w *world) offloader() *offload.Offloader {
	w.t.Helper()
	o, err := offload.New(offload.Options{
		Config: w.config, Cluster: cluster, Source: w.shard, Store: w.store, Caps: w.caps,
		Meta:  meta.NewClient(w.meta, "offloader", rand.New(rand.NewPCG(w.random.Uint64(), 2))),
		Clock: clock.Runtime(), Rand: rand.New(rand.NewPCG(w.random.Uint64(), 3)), Class: classOf, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// seal closes the active segment and seals everything.
func (w *world) seal(ctx context.Context, o *offload.Offloader) {
	w.t.Helper()
	w.shard.Roll()
	if err := o.Pass(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func smallConfig() history.Config {
	c := history.DefaultConfig()
	c.BlockCache, c.WindowCache, c.DirectoryCache, c.StreamCache = 1<<20, 1<<20, 1<<16, 1<<16
	c.Window, c.InFlight = 64<<10, 256<<10
	return c
}

func (w *world) history(store tiering.ObjectStore, config history.Config) *history.History {
	w.t.Helper()
	h, err := history.New(history.Options{
		Config: config, Cluster: cluster, Store: store, Meta: w.meta, Clock: clock.Runtime(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := h.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return h
}

// same fails the test unless got is what the shard's model has from an offset on.
func (w *world) same(q message.Queue, from message.Offset, got []message.Located) {
	w.t.Helper()
	model := w.shard.Model(q)
	for i, m := range got {
		at := from + message.Offset(i)
		if int(at) >= len(model) {
			w.t.Fatalf("queue %s has %d messages, got one at %d", q, len(model), at)
		}
		if want := model[at]; m.Queue != q || m.Offset != at || !bytes.Equal(m.Stored, want.Stored) {
			w.t.Fatalf("queue %s offset %d: got %s@%d with %d bytes, want %d bytes", q, at, m.Queue, m.Offset, len(m.Stored), len(want.Stored))
		}
	}
}

func queues(topics, perTopic int) []message.Queue {
	var qs []message.Queue
	for t := range topics {
		for q := range perTopic {
			qs = append(qs, message.Queue{Topic: message.TopicID(t + 1), ID: message.QueueID(q)})
		}
	}
	return qs
}
