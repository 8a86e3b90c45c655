package offload_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/objectfault"
	"github.com/stratamq/stratamq/tiering/offload"
)

// head returns the manifest head and its entry.
func (w *world) head(t *testing.T) (meta.ManifestHead, manifest.Entry, meta.Value) {
	t.Helper()
	v, err := w.meta.Get(t.Context(), meta.BucketManifests, meta.ShardKey(3))
	if err != nil {
		t.Fatal(err)
	}
	head, err := meta.DecodeManifestHead(v.Data)
	if err != nil {
		t.Fatal(err)
	}
	var e manifest.Entry
	if head.Sequence > 0 {
		if e, err = manifest.DecodeEntry(head.Entry); err != nil {
			t.Fatal(err)
		}
	}
	return head, e, v
}

func TestSealedEntry(t *testing.T) {
	w := newWorld(t, 1)
	var sealed []offload.Sealed
	w.events.Sealed = func(s offload.Sealed) { sealed = append(sealed, s) }
	w.fill(500)
	w.fill(500)
	if err := w.offloader().Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	head, e, _ := w.head(t)
	if head.Sequence != 2 || head.LeaderEpoch != 1 || len(e.Objects) != 2 || e.Snapshot.ReplayStart < e.End || len(sealed) != 2 {
		t.Errorf("head %d, epoch %d, entry %+v, events %d", head.Sequence, head.LeaderEpoch, e, len(sealed))
	}
	records, bytes := uint64(0), uint64(0)
	for _, o := range e.Objects {
		records, bytes = records+o.Records, bytes+o.RawBytes
		if info, err := w.store.Head(t.Context(), e.ObjectKey(o)); err != nil || info.Size != o.Size {
			t.Errorf("%s: %+v, %v", e.ObjectKey(o), info, err)
		}
	}
	if last := sealed[1]; records != 500 || last.Records != records || last.RawBytes != bytes || last.Puts != 3 || last.MetaBytes == 0 || last.End != e.End {
		t.Errorf("%d records, %d bytes; event %+v", records, bytes, last)
	}
	for sequence, want := range map[uint64]bool{1: true, 2: true, 3: false} {
		_, _, err := manifest.ReadEntry(t.Context(), w.store, cluster, 3, sequence)
		if (err == nil) != want {
			t.Errorf("entry %d in the bucket: %v", sequence, err)
		}
	}
}

// TestSegmentWithoutMessages: a segment of state changes alone becomes an entry with a snapshot and no object.
func TestSegmentWithoutMessages(t *testing.T) {
	w := newWorld(t, 2)
	w.shard.AppendOther(1000)
	w.shard.Roll()
	w.fill(10)
	if err := w.offloader().Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, _, err := manifest.ReadEntry(t.Context(), w.store, cluster, 3, 1)
	if err != nil || len(first.Objects) != 0 || first.Snapshot.Size == 0 || !first.Seals() {
		t.Errorf("%+v, %v", first, err)
	}
	w.complete(t.Context())
}

// TestFenced: a leader of an earlier epoch neither claims nor commits, and ends.
func TestFenced(t *testing.T) {
	w := newWorld(t, 3)
	w.fill(50)
	old := w.offloader()
	if err := old.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	head, _, v := w.head(t)
	if _, err := w.meta.Update(t.Context(), meta.BucketManifests, meta.ShardKey(3), meta.Envelope{Data: head.WithEpoch(9).AppendTo(nil)}, v.Revision); err != nil {
		t.Fatal(err)
	}
	w.fill(50)
	if err := old.Run(t.Context()); !errors.Is(err, offload.ErrFenced) {
		t.Errorf("a leader that was overtaken: %v", err)
	}
	if err := w.offloader().Run(t.Context()); !errors.Is(err, offload.ErrFenced) {
		t.Errorf("a leader that comes too late: %v", err)
	}
	if head, _, _ := w.head(t); head.Sequence != 1 || w.shard.Full() != 1 {
		t.Errorf("head at %d, %d segments left", head.Sequence, w.shard.Full())
	}
}

// TestManifestLost: a head that is gone or older than the bucket is no reason to begin anew.
func TestManifestLost(t *testing.T) {
	w := newWorld(t, 4)
	w.fill(50)
	o := w.offloader()
	if err := o.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	older, _, _ := w.head(t)
	w.fill(50)
	if err := o.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fill(50)
	w.shard.Restart()
	w.meta = memory.Open(memory.NewData())
	if err := w.offloader().Pass(t.Context()); !errors.Is(err, offload.ErrManifestLost) {
		t.Errorf("no head: %v", err)
	}
	if _, err := w.meta.Create(t.Context(), meta.BucketManifests, meta.ShardKey(3), meta.Envelope{Data: older.AppendTo(nil)}); err != nil {
		t.Fatal(err)
	}
	if err := w.offloader().Pass(t.Context()); !errors.Is(err, offload.ErrManifestLost) {
		t.Errorf("an old head: %v", err)
	}
	if w.shard.Full() != 1 {
		t.Errorf("%d segments left", w.shard.Full())
	}
}

// TestOutage: while the bucket fails the backlog grows and the waits get longer; when it is back, everything is sealed.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5)
		w.config.RetryFirst, w.config.RetryMax, w.config.Poll = time.Second, time.Minute, time.Hour
		store := objectfault.Wrap(w.store)
		store.Arm(func(objectfault.Call) objectfault.Fault { return objectfault.Fault{Mode: objectfault.Before} })
		w.store = store
		var waits []time.Duration
		w.events.Failed = func(_ offload.Step, err error, attempt int, wait time.Duration) {
			if !errors.Is(err, tiering.ErrUnavailable) || attempt != len(waits)+1 {
				t.Errorf("attempt %d: %v", attempt, err)
			}
			waits = append(waits, wait)
		}
		w.fill(20)
		o := w.offloader()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.Run(ctx) }()
		time.Sleep(10 * time.Minute) // of the bubble's own time
		synctest.Wait()
		if len(waits) < 10 || len(waits) > 40 || waits[0] > time.Second || waits[9] < 30*time.Second || w.shard.LastSeal().Sequence != 0 {
			t.Errorf("%d failures, waits %v", len(waits), waits)
		}
		w.fill(20)
		store.Arm(nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if seal := w.shard.LastSeal(); seal.Sequence != 2 || o.Backlog() != 0 || w.shard.Full() != 0 {
			t.Errorf("after the outage: seal %+v, backlog %d, left %d", seal, o.Backlog(), w.shard.Full())
		}
		w.fill(20)
		o.Wake()
		synctest.Wait()
		if seal := w.shard.LastSeal(); seal.Sequence != 3 {
			t.Errorf("after Wake: seal %+v", seal)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returns %v", err)
		}
	})
}

// TestLocalRetention: segments stay local for as long, or up to as many bytes, as the settings say, also over a restart.
func TestLocalRetention(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world, c *offload.Config)
		left   []int // local segments after each of: the seal of three, 59 s, 61 s, 1 h, 2 h
	}{
		"grace alone": {func(_ *world, c *offload.Config) { c.Grace = time.Minute }, []int{3, 3, 0, 0, 0}},
		"by age":      {func(_ *world, c *offload.Config) { c.Grace, c.LocalAge = time.Minute, time.Hour }, []int{3, 3, 3, 0, 0}},
		"by bytes":    {func(w *world, c *offload.Config) { c.Grace, c.LocalBytes = time.Minute, w.twoSegments() }, []int{3, 3, 2, 2, 2}},
		"by bytes and age": {func(w *world, c *offload.Config) {
			c.Grace, c.LocalBytes, c.LocalAge = time.Minute, w.twoSegments(), 90*time.Minute
		}, []int{3, 3, 2, 2, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 6)
			manual := clock.NewManual(time.UnixMilli(1_800_000_000_000))
			w.clock = manual
			for range 3 {
				w.fill(30)
			}
			c.change(w, &w.config)
			o := w.offloader()
			at := time.Duration(0)
			for i, moment := range []time.Duration{0, 59 * time.Second, 61 * time.Second, time.Hour, 2 * time.Hour} {
				manual.Advance(moment - at)
				at = moment
				if i%2 == 1 {
					w.shard.Restart()
					o = w.offloader()
				}
				if err := o.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w.shard.Full() != c.left[i] {
					t.Errorf("after %v: %d segments are local, want %d", moment, w.shard.Full(), c.left[i])
				}
			}
			w.complete(t.Context())
		})
	}
}

// twoSegments returns a bound that two of the local segments keep and three do not.
func (w *world) twoSegments() int64 {
	segments, err := w.shard.Sealable(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return segments[1].Bytes + segments[2].Bytes
}

// TestLocalDamage: a record that has changed on the disk since its frame was checked is not sealed as if it were good.
func TestLocalDamage(t *testing.T) {
	w := newWorld(t, 7)
	w.fill(50)
	o, err := offload.New(w.options(damagedReads{w.shard}))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Pass(t.Context()); !errors.Is(err, message.ErrCorrupt) || !strings.Contains(err.Error(), "local disk") {
		t.Error(err)
	}
	if head, _, _ := w.head(t); head.Sequence != 0 || w.shard.Full() != 1 {
		t.Errorf("head at %d, %d segments left", head.Sequence, w.shard.Full())
	}
}

type damagedReads struct{ offload.Source }

func (d damagedReads) ReadAt(ctx context.Context, dst []byte, at message.Position) error {
	err := d.Source.ReadAt(ctx, dst, at)
	dst[len(dst)/2] ^= 1
	return err
}

// TestBudget: a seal waits for its share of the process's memory.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		w.fill(50)
		options := w.options(w.shard)
		options.Budget = offload.NewBudget(1)
		o, err := offload.New(options)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Pass(t.Context()); err != nil { // more than all of it: it takes all
			t.Fatal(err)
		}
		w.complete(t.Context())
	})
}

func TestConfigValidate(t *testing.T) {
	if err := offload.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	bad := offload.Config{Codec: 9, Grace: -1}
	err := bad.Validate()
	for _, want := range []string{"codec", "block_size", "upload", "gather_bytes", "local retention", "poll"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word about %s in: %v", want, err)
		}
	}
}
