package history_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/objectfault"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
)

// expire commits an entry that moves first offsets and marks objects, as retention does.
func (w *world) expire(t *testing.T, firsts []manifest.FirstOffset, deletions []string) {
	t.Helper()
	v, err := w.meta.Get(t.Context(), meta.BucketManifests, meta.ShardKey(3))
	if err != nil {
		t.Fatal(err)
	}
	head, err := meta.DecodeManifestHead(v.Data)
	if err != nil {
		t.Fatal(err)
	}
	last, err := manifest.DecodeEntry(head.Entry)
	if err != nil {
		t.Fatal(err)
	}
	e := manifest.Entry{
		Cluster: cluster, Shard: 3, Sequence: head.Sequence + 1, Epoch: last.Epoch, Previous: head.Hash, Base: last.End, End: last.End,
		FirstOffsets: firsts, Deletions: deletions,
	}
	next := head.WithEntry(e.AppendTo(nil))
	if _, err := w.meta.Update(t.Context(), meta.BucketManifests, meta.ShardKey(3), meta.Envelope{Data: next.AppendTo(nil)}, v.Revision); err != nil {
		t.Fatal(err)
	}
	if err := tiering.PutOnce(t.Context(), w.store, w.caps, e.Key(), next.Entry); err != nil {
		t.Fatal(err)
	}
}

// objects returns the keys of the sealed objects, without snapshots, oldest first.
func (w *world) objects(t *testing.T) []string {
	t.Helper()
	var keys []string
	for info, err := range w.store.List(t.Context(), cluster+"/00003/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(info.Key, "snapshot") {
			keys = append(keys, info.Key)
		}
	}
	return keys
}

// threeSegments seals three segments of one queue and returns it with how many messages each has.
func threeSegments(t *testing.T, w *world) (message.Queue, message.Offset) {
	t.Helper()
	q := message.Queue{Topic: 1}
	o := w.offloader()
	for range 3 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 300, Queues: []message.Queue{q}, MaxBody: 200, Keys: 5})
		w.seal(t.Context(), o)
	}
	return q, 300
}

// TestGone: an object that retention has deleted is gone, also for a reader whose manifest is older; what lies behind it
// can be read, also without a metadata store.
func TestGone(t *testing.T) {
	w := newWorld(t, openFile(t), 21)
	q, n := threeSegments(t, w)
	read := func(h *history.History, from message.Offset) ([]message.Located, error) {
		return h.Read(t.Context(), 3, q, from, 10, 1<<20, 3)
	}
	old := w.history(w.store, smallConfig())
	if got, err := read(old, 0); err != nil || len(got) != 10 {
		t.Fatal(len(got), err)
	}
	oldest := w.objects(t)[0]
	w.expire(t, []manifest.FirstOffset{{Queue: q, Offset: n + 5}}, []string{oldest})
	if err := w.store.Delete(t.Context(), oldest); err != nil {
		t.Fatal(err)
	}
	if _, err := read(old, n-20); !errors.Is(err, history.ErrGone) {
		t.Errorf("a reader with an old manifest: %v", err)
	}
	check := func(h *history.History) {
		t.Helper()
		if _, err := read(h, n+4); !errors.Is(err, history.ErrGone) {
			t.Errorf("just before the first offset: %v", err)
		}
		got, err := read(h, n+5)
		if err != nil || len(got) != 10 {
			t.Fatal(len(got), err)
		}
		w.same(q, n+5, got)
		if first, next, err := h.QueueBounds(t.Context(), 3, q); err != nil || first != n+5 || next != 3*n {
			t.Errorf("bounds [%d, %d), %v", first, next, err)
		}
		if at, found, err := h.OffsetAt(t.Context(), 3, q, 0, 3); err != nil || !found || at != n+5 {
			t.Errorf("the oldest time: %d, %v, %v", at, found, err)
		}
		found, err := h.Lookup(t.Context(), 3, q.Topic, message.IndexByKey, "key-1", 1000)
		if err != nil || len(found) == 0 {
			t.Fatal(len(found), err)
		}
		for _, m := range found {
			if m.Offset < n+5 {
				t.Errorf("a lookup found offset %d", m.Offset)
			}
		}
		if m := h.Metrics(); m.MissingObjects != 0 {
			t.Errorf("%d alarms", m.MissingObjects)
		}
	}
	check(w.history(w.store, smallConfig()))
	w.meta = memory.Open(memory.NewData())
	check(w.history(w.store, smallConfig()))
}

// TestMissingObject: an object that should be there and is not is an error for its messages, and for nobody else's.
func TestMissingObject(t *testing.T) {
	w := newWorld(t, openFile(t), 22)
	q, n := threeSegments(t, w)
	if err := w.store.Delete(t.Context(), w.objects(t)[1]); err != nil {
		t.Fatal(err)
	}
	h := w.history(w.store, smallConfig())
	if _, err := h.Read(t.Context(), 3, q, n, 10, 1<<20, 3); !errors.Is(err, tiering.ErrMissingObject) || errors.Is(err, history.ErrGone) {
		t.Errorf("in the missing object: %v", err)
	}
	if m := h.Metrics(); m.MissingObjects == 0 {
		t.Error("no alarm")
	}
	for _, from := range []message.Offset{0, 2 * n} {
		got, err := h.Read(t.Context(), 3, q, from, 10, 1<<20, 3)
		if err != nil || len(got) != 10 {
			t.Errorf("from %d: %d messages, %v", from, len(got), err)
		}
	}
	// A read that comes to the hole gives what lies before it, and nothing behind it.
	got, err := h.Read(t.Context(), 3, q, n-3, 100, 1<<20, 3)
	if err != nil || len(got) != 3 {
		t.Errorf("before the hole: %d messages, %v", len(got), err)
	}
}

// TestDamagedFetch: bytes that were damaged on the way are fetched again, and are never handed on.
func TestDamagedFetch(t *testing.T) {
	w := newWorld(t, openFile(t), 23)
	q, n := threeSegments(t, w)
	store := objectfault.Wrap(w.store)
	h := w.history(store, smallConfig())
	store.Arm(func(call objectfault.Call) objectfault.Fault {
		if call.Op == "get" && w.random.IntN(4) == 0 {
			return objectfault.Fault{Mode: objectfault.Damage}
		}
		return objectfault.Fault{}
	})
	failed := 0
	for next := message.Offset(0); next < 3*n; {
		got, err := h.Read(t.Context(), 3, q, next, 20, 1<<20, 3)
		if err != nil {
			if failed++; failed > 100 || !errors.Is(err, message.ErrCorrupt) && !errors.Is(err, tiering.ErrCorrupt) {
				t.Fatal(err)
			}
			continue
		}
		w.same(q, next, got)
		next += message.Offset(len(got))
	}
	if m := h.Metrics(); m.DamagedFetches == 0 {
		t.Error("nothing was damaged")
	}
}

// TestSnapshot: the newest snapshot is found, and is the one that the shard gave.
func TestSnapshot(t *testing.T) {
	w := newWorld(t, openFile(t), 24)
	h := w.history(w.store, smallConfig())
	if raw, _, err := h.Snapshot(t.Context(), 3); err != nil || raw != nil {
		t.Errorf("before the first seal: %q, %v", raw, err)
	}
	threeSegments(t, w)
	raw, start, err := h.Snapshot(t.Context(), 3)
	if err != nil || string(raw) != "snapshot up to "+start.String() || start != w.shard.LastSeal().End {
		t.Errorf("%q from %s, %v", raw, start, err)
	}
}

func TestClosed(t *testing.T) {
	w := newWorld(t, openFile(t), 25)
	h := w.history(w.store, smallConfig())
	for range 2 {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Read(t.Context(), 3, message.Queue{Topic: 1}, 0, 1, 1, 0); !errors.Is(err, history.ErrClosed) {
		t.Error(err)
	}
}
