package history_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
)

// TestReadWhatWasSealed seals a few segments and reads every queue from the first to the last message, in pieces of all
// sizes.
func TestReadWhatWasSealed(t *testing.T) {
	w := newWorld(t, openFile(t), 1)
	o := w.offloader()
	qs := queues(4, 3)
	for range 5 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 2000, Queues: qs, MaxBody: 600, Keys: 20})
		w.seal(t.Context(), o)
	}
	if n := len(w.shard.Trimmed()); n != 5 {
		t.Fatalf("%d segments were trimmed", n)
	}
	for _, withMeta := range []bool{true, false} {
		if !withMeta {
			w.meta = memory.Open(memory.NewData()) // the bucket alone
		}
		h := w.history(w.store, smallConfig())
		for _, q := range qs {
			w.readAll(t, h, q, w.shard.LastSeal().Sequence)
		}
		m := h.Metrics()
		t.Logf("%+v hit rate %.2f", m, m.HitRate())
		if withMeta != (m.DerivedValues == 0) {
			t.Errorf("%d values were derived, with metadata store: %v", m.DerivedValues, withMeta)
		}
	}
}

// readAll reads a queue like a consumer that goes on where it ended.
func (w *world) readAll(t *testing.T, h *history.History, q message.Queue, sequence uint64) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(q.Topic), uint64(q.ID)))
	next := message.Offset(0)
	for {
		limit, maxBytes := 1+random.IntN(40), 1+random.IntN(64<<10)
		got, err := h.Read(t.Context(), w.shard.Shard(), q, next, limit, maxBytes, sequence)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		w.same(q, next, got)
		bytes := 0
		for _, m := range got {
			bytes += len(m.Stored)
		}
		if len(got) > limit || len(got) > 1 && bytes > maxBytes {
			t.Fatalf("%d messages of %d bytes for %d and %d", len(got), bytes, limit, maxBytes)
		}
		next += message.Offset(len(got))
	}
	if want := len(w.shard.Model(q)); int(next) != want {
		t.Fatalf("queue %s: read %d of %d messages", q, next, want)
	}
}

func TestReadBeforeAnythingIsSealed(t *testing.T) {
	w := newWorld(t, openFile(t), 2)
	h := w.history(w.store, smallConfig())
	got, err := h.Read(t.Context(), 3, message.Queue{Topic: 1}, 0, 10, 1000, 0)
	if err != nil || len(got) != 0 {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if _, err := h.Read(t.Context(), 3, message.Queue{Topic: 1}, 0, 10, 1000, 1); !errors.Is(err, history.ErrBehind) {
		t.Errorf("a seal that is not there: %v", err)
	}
}
