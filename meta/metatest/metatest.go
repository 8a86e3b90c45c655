package metatest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratamq/stratamq/meta"
)

// Disk is what outlives a store: Open, close, Open again must show the same values.
type Disk interface {
	// Open opens a store. The suite closes it, and never has two open at once.
	Open(t *testing.T) meta.Store

	// Damage makes the stored value of a key fail its checksum, behind the back of s, which is open.
	Damage(t *testing.T, s meta.Store, bucket meta.Bucket, key string)
}

// Run proves that an engine does what [meta.Store] says. NewDisk returns an empty one.
func Run(t *testing.T, newDisk func(t *testing.T) Disk) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, d Disk)
	}{
		{"values and revisions", testValues},
		{"keys of any text", testKeys},
		{"bounds", testBounds},
		{"one winner", testRace},
		{"watch", testWatch},
		{"watch ends", testWatchEnds},
		{"damage", testDamage},
		{"restart", testRestart},
		{"closed", testClosed},
		{"unknown outcomes", testUnknown},
		{"linearizable", testLinearizable},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newDisk(t)) })
	}
}

func open(t *testing.T, d Disk) meta.Store {
	t.Helper()
	s := d.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func envelope(nonce uint64, data string) meta.Envelope {
	return meta.Envelope{Writer: "metatest", Nonce: nonce, Data: []byte(data)}
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

func testValues(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	for _, b := range meta.Buckets() {
		_, err := s.Get(ctx, b, "k")
		want(t, err, meta.ErrNotFound)
		_, err = s.Update(ctx, b, "k", envelope(1, "a"), 0)
		want(t, err, meta.ErrConflict)
		_, err = s.Update(ctx, b, "k", envelope(1, "a"), 7)
		want(t, err, meta.ErrConflict)
		want(t, s.Delete(ctx, b, "k", 7), meta.ErrConflict)

		first, err := s.Create(ctx, b, "k", envelope(2, "a"))
		must(t, err)
		_, err = s.Create(ctx, b, "k", envelope(3, "b"))
		want(t, err, meta.ErrConflict)
		v, err := s.Get(ctx, b, "k")
		must(t, err)
		if v.Revision != first || first == 0 || string(v.Data) != "a" || v.Nonce != 2 || v.Writer != "metatest" {
			t.Errorf("%s: got %+v at revision %d", b, v, first)
		}

		second, err := s.Update(ctx, b, "k", envelope(4, ""), first)
		must(t, err)
		if second <= first {
			t.Errorf("%s: revision %d after %d", b, second, first)
		}
		_, err = s.Update(ctx, b, "k", envelope(5, "c"), first)
		want(t, err, meta.ErrConflict)
		want(t, s.Delete(ctx, b, "k", first), meta.ErrConflict)
		must(t, s.Delete(ctx, b, "k", second))
		want(t, s.Delete(ctx, b, "k", second), meta.ErrConflict)
		_, err = s.Get(ctx, b, "k")
		want(t, err, meta.ErrNotFound)
		_, err = s.Update(ctx, b, "k", envelope(6, "c"), second)
		want(t, err, meta.ErrConflict)

		third, err := s.Create(ctx, b, "k", envelope(7, "d"))
		must(t, err)
		if third <= second {
			t.Errorf("%s: revision %d after the deletion of %d", b, third, second)
		}
	}
}

func testKeys(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	keys := []string{
		"%DLQ%g", "%RETRY%g", "a|b", "a b", ".", "..", ".a", "a.", "a..b", "*", ">", "a.>", "主题", "=", "=41", "A", "a",
		"a/b", "a-b_c", "\x00", "\xff", "$KV", "_kv", string(make([]byte, meta.MaxKeyLen)),
	}
	slices.Sort(keys)
	for _, k := range keys {
		if _, err := s.Create(ctx, meta.BucketTopics, k, envelope(1, k)); err != nil {
			t.Errorf("create %q: %v", k, err)
		}
	}
	for _, k := range keys {
		if v, err := s.Get(ctx, meta.BucketTopics, k); err != nil || string(v.Data) != k {
			t.Errorf("get %q: %q, %v", k, v.Data, err)
		}
	}
	got, err := s.Keys(ctx, meta.BucketTopics)
	must(t, err)
	if !slices.Equal(got, keys) {
		t.Errorf("keys %q, want %q", got, keys)
	}
	empty, err := s.Keys(ctx, meta.BucketUsers)
	if err != nil || len(empty) != 0 {
		t.Errorf("keys of an empty bucket: %q, %v", empty, err)
	}
	_, err = s.Keys(ctx, meta.BucketIndex)
	want(t, err, errors.ErrUnsupported)
	_, err = s.Watch(ctx, meta.BucketConsumeQueue)
	want(t, err, errors.ErrUnsupported)
}

func testBounds(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	big := meta.Envelope{Writer: string(make([]byte, 255)), Data: make([]byte, meta.MaxDataLen)}
	rev, err := s.Create(ctx, meta.BucketConsumeQueue, "big", big)
	must(t, err)
	v, err := s.Get(ctx, meta.BucketConsumeQueue, "big")
	if err != nil || len(v.Data) != meta.MaxDataLen {
		t.Errorf("big value: %d bytes, %v", len(v.Data), err)
	}
	_, err = s.Update(ctx, meta.BucketConsumeQueue, "big", meta.Envelope{Data: make([]byte, meta.MaxDataLen+1)}, rev)
	want(t, err, meta.ErrTooLarge)
	_, err = s.Create(ctx, meta.BucketUsers, string(make([]byte, meta.MaxKeyLen+1)), envelope(1, ""))
	want(t, err, meta.ErrTooLarge)
	_, err = s.Create(ctx, meta.BucketUsers, "", envelope(1, ""))
	want(t, err, meta.ErrInvalid)
	_, err = s.Get(ctx, "nothing", "k")
	want(t, err, meta.ErrInvalid)
}

func testRace(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	const writers, rounds = 8, 20
	var revision uint64
	for round := range rounds {
		var wg sync.WaitGroup
		revisions, errs := make([]uint64, writers), make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				e := envelope(uint64(round*writers+w), "x")
				if revision == 0 {
					revisions[w], errs[w] = s.Create(ctx, meta.BucketShards, "k", e)
				} else {
					revisions[w], errs[w] = s.Update(ctx, meta.BucketShards, "k", e, revision)
				}
			})
		}
		wg.Wait()
		winner := -1
		for w, err := range errs {
			switch {
			case err == nil && winner < 0:
				winner = w
			case err == nil:
				t.Fatalf("round %d: writers %d and %d both won", round, winner, w)
			default:
				want(t, err, meta.ErrConflict)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody won", round)
		}
		v, err := s.Get(ctx, meta.BucketShards, "k")
		must(t, err)
		if v.Nonce != uint64(round*writers+winner) || v.Revision != revisions[winner] {
			t.Fatalf("round %d: writer %d won, but the value is %d's", round, winner, v.Nonce)
		}
		revision = v.Revision
	}
}

// receive returns the next event, skipping deletions of keys other than key.
func receive(t *testing.T, events <-chan meta.Event, key string) meta.Event {
	t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("the watch ended")
			}
			if e.Type == meta.EventDelete && e.Key != key {
				continue
			}
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("no event for 10 s")
		}
	}
}

func testWatch(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	a, err := s.Create(ctx, meta.BucketTopics, "%DLQ%a", envelope(1, "a"))
	must(t, err)
	_, err = s.Create(ctx, meta.BucketTopics, "b", envelope(2, "b"))
	must(t, err)
	gone, err := s.Create(ctx, meta.BucketTopics, "gone", envelope(3, "c"))
	must(t, err)
	must(t, s.Delete(ctx, meta.BucketTopics, "gone", gone))

	events, err := s.Watch(ctx, meta.BucketTopics)
	must(t, err)
	initial := map[string]string{}
	for {
		e := receive(t, events, "")
		if e.Type == meta.EventSynced {
			break
		}
		if e.Type != meta.EventPut || e.Revision != e.Value.Revision {
			t.Fatalf("event %+v", e)
		}
		initial[e.Key] = string(e.Value.Data)
	}
	if len(initial) != 2 || initial["%DLQ%a"] != "a" || initial["b"] != "b" {
		t.Errorf("initial values %v", initial)
	}

	a, err = s.Update(ctx, meta.BucketTopics, "%DLQ%a", envelope(4, "a2"), a)
	must(t, err)
	if e := receive(t, events, ""); e.Type != meta.EventPut || e.Key != "%DLQ%a" || e.Revision != a || string(e.Value.Data) != "a2" {
		t.Errorf("after the update: %+v", e)
	}
	must(t, s.Delete(ctx, meta.BucketTopics, "%DLQ%a", a))
	if e := receive(t, events, "%DLQ%a"); e.Type != meta.EventDelete || e.Revision <= a {
		t.Errorf("after the deletion: %+v", e)
	}

	other, err := s.Watch(ctx, meta.BucketUsers)
	must(t, err)
	if e := receive(t, other, ""); e.Type != meta.EventSynced {
		t.Errorf("first event of an empty bucket: %+v", e)
	}
}

func testWatchEnds(t *testing.T, d Disk) {
	s := open(t, d)
	for i := range 300 {
		_, err := s.Create(t.Context(), meta.BucketTopics, string(rune('a'+i)), envelope(1, "v"))
		must(t, err)
	}
	ended := func(events <-chan meta.Event) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for {
			select {
			case _, ok := <-events:
				if !ok {
					return
				}
			case <-deadline:
				t.Fatal("the watch did not end")
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	events, err := s.Watch(ctx, meta.BucketTopics)
	must(t, err)
	cancel()
	ended(events)

	unread, err := s.Watch(t.Context(), meta.BucketTopics)
	must(t, err)
	started := time.Now()
	must(t, s.Close())
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("close beside a watch that nobody reads took %s", took)
	}
	ended(unread)
}

func testDamage(t *testing.T, d Disk) {
	s, ctx := open(t, d), t.Context()
	_, err := s.Create(ctx, meta.BucketGroups, "g", envelope(1, "precious"))
	must(t, err)
	d.Damage(t, s, meta.BucketGroups, "g")
	_, err = s.Get(ctx, meta.BucketGroups, "g")
	want(t, err, meta.ErrDamaged)
	_, err = s.Create(ctx, meta.BucketGroups, "g", envelope(2, "new"))
	want(t, err, meta.ErrConflict)
	keys, err := s.Keys(ctx, meta.BucketGroups)
	if err != nil || !slices.Equal(keys, []string{"g"}) {
		t.Errorf("keys %q, %v: a damaged value is still there", keys, err)
	}
	events, err := s.Watch(ctx, meta.BucketGroups)
	must(t, err)
	if e := receive(t, events, ""); e.Type != meta.EventDamaged || e.Key != "g" {
		t.Errorf("event %+v", e)
	}
	// Who knows what belongs there, writes over it at the revision of the damage.
	client := meta.NewClient(s, "metatest", rand.New(rand.NewPCG(1, 1)))
	_, err = client.Mutate(ctx, meta.BucketGroups, "g", func(meta.Value) ([]byte, error) { return []byte("x"), nil })
	want(t, err, meta.ErrDamaged)
}

func testRestart(t *testing.T, d Disk) {
	ctx := t.Context()
	s := d.Open(t)
	revisions := map[meta.Bucket]uint64{}
	for _, b := range meta.Buckets() {
		_, err := s.Create(ctx, b, "k", envelope(1, "old"))
		must(t, err)
		v, err := s.Get(ctx, b, "k")
		must(t, err)
		revisions[b], err = s.Update(ctx, b, "k", envelope(2, string(b)), v.Revision)
		must(t, err)
		gone, err := s.Create(ctx, b, "gone", envelope(3, ""))
		must(t, err)
		must(t, s.Delete(ctx, b, "gone", gone))
	}
	must(t, s.Close())
	must(t, s.Close())

	s = open(t, d)
	for _, b := range meta.Buckets() {
		v, err := s.Get(ctx, b, "k")
		if err != nil || v.Revision != revisions[b] || string(v.Data) != string(b) || v.Nonce != 2 {
			t.Errorf("%s: %+v, %v", b, v, err)
		}
		_, err = s.Get(ctx, b, "gone")
		want(t, err, meta.ErrNotFound)
		if next, err := s.Update(ctx, b, "k", envelope(4, ""), revisions[b]); err != nil || next <= revisions[b] {
			t.Errorf("%s: update at the revision from before the restart: %d, %v", b, next, err)
		}
	}
}

func testClosed(t *testing.T, d Disk) {
	s, ctx := d.Open(t), t.Context()
	must(t, s.Close())
	_, err := s.Get(ctx, meta.BucketTopics, "k")
	want(t, err, meta.ErrUnavailable)
	_, err = s.Create(ctx, meta.BucketTopics, "k", envelope(1, ""))
	want(t, err, meta.ErrUnavailable)
	want(t, s.Delete(ctx, meta.BucketTopics, "k", 1), meta.ErrUnavailable)
	_, err = s.Watch(ctx, meta.BucketTopics)
	want(t, err, meta.ErrUnavailable)
	_, err = s.Keys(ctx, meta.BucketTopics)
	want(t, err, meta.ErrUnavailable)

	s = open(t, d)
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Create(over, meta.BucketTopics, "k", envelope(1, ""))
	want(t, err, meta.ErrUnavailable)
	_, err = s.Get(ctx, meta.BucketTopics, "k")
	want(t, err, meta.ErrNotFound)
}
