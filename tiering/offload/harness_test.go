package offload_test

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

// world is a shard, a bucket and a metadata store, which outlive offloaders.
type world struct {
	t      testing.TB
	random *rand.Rand
	shard  *offloadtest.Shard
	store  tiering.ObjectStore
	caps   tiering.Capabilities
	meta   meta.Store
	clock  clock.Clock
	config offload.Config
	events offload.Events
}

func newWorld(t testing.TB, seed uint64) *world {
	store, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), shard: offloadtest.New(3), store: store, meta: memory.Open(memory.NewData()),
		clock: clock.Runtime(), config: offload.DefaultConfig(),
		caps: tiering.Capabilities{ConditionalPut: true, ConditionalComplete: true, ChecksumVerified: true, ListAfterPut: true},
	}
	w.config.Grace, w.config.BlockSize = 0, 4<<10
	w.config.RetryFirst, w.config.RetryMax = time.Millisecond, 5*time.Millisecond
	return w
}

func (w *world) options(source offload.Source) offload.Options {
	return offload.Options{
		Config: w.config, Cluster: cluster, Source: source, Store: w.store, Caps: w.caps,
		Meta:  meta.NewClient(w.meta, "offloader", rand.New(rand.NewPCG(w.random.Uint64(), 2))),
		Clock: w.clock, Rand: rand.New(rand.NewPCG(w.random.Uint64(), 3)), Logger: slog.New(slog.DiscardHandler), Events: w.events,
		Class: func(topic message.TopicID) segment.Class { return segment.Class1d + segment.Class(topic%2) },
	}
}

func (w *world) offloader() *offload.Offloader {
	w.t.Helper()
	o, err := offload.New(w.options(w.shard))
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (w *world) fill(messages int) {
	w.shard.Fill(w.random, offloadtest.FillOptions{Messages: messages, Queues: testQueues, MaxBody: 300, Keys: 10})
	w.shard.Roll()
}

var testQueues = []message.Queue{{Topic: 1}, {Topic: 1, ID: 1}, {Topic: 2}, {Topic: 2, ID: 7}, {Topic: 5}}

// complete checks that every message that was ever appended is here or in the bucket, with the same bytes and offset. A
// read that fails is made again: the bucket may be one that fails at random.
func (w *world) complete(ctx context.Context) {
	w.t.Helper()
	h, err := history.New(history.Options{
		Config: history.DefaultConfig(), Cluster: cluster, Store: w.store, Meta: w.meta, Clock: clock.Runtime(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	for _, q := range w.shard.Queues() {
		model, local := w.shard.Model(q), w.shard.FirstLocal(q)
		failures := 0
		for next := message.Offset(0); next < local; {
			got, err := h.Read(ctx, w.shard.Shard(), q, next, 64, 1<<20, w.shard.LastSeal().Sequence)
			if err == nil && len(got) == 0 {
				w.t.Fatalf("queue %s, local from %d: no messages at offset %d", q, local, next)
			}
			if err != nil {
				if failures++; failures < 100 {
					continue
				}
				w.t.Fatalf("queue %s, local from %d: offset %d: %v", q, local, next, err)
			}
			for _, m := range got {
				if m.Offset != next || !bytes.Equal(m.Stored, model[next].Stored) {
					w.t.Fatalf("queue %s: offset %d is not what was sent", q, next)
				}
				next++
			}
		}
	}
}
