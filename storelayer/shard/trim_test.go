package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// bucket keeps what a test sealed, as the object store would.
type bucket struct {
	stored   map[message.Queue]map[message.Offset][]byte
	snapshot []byte
}

func (b *bucket) Read(_ context.Context, q message.Queue, offset message.Offset) ([]byte, error) {
	stored, ok := b.stored[q][offset]
	if !ok {
		return nil, fmt.Errorf("no message %d of %s in the bucket", offset, q)
	}
	return stored, nil
}

func (b *bucket) Snapshot(context.Context) ([]byte, error) { return b.snapshot, nil }

// sealAll seals and trims every full segment and returns how many messages that were.
func (b *bucket) sealAll(t *testing.T, s *Shard) int {
	t.Helper()
	n := 0
	for i, seg := range s.FullSegments() {
		for r, err := range s.Messages(t.Context(), seg.Base) {
			if err != nil {
				t.Fatal(err)
			}
			raw := make([]byte, r.Entry.Size)
			if err := s.ReadLog(raw, r.Entry.Position); err != nil || !bytes.Equal(raw, r.Bytes) {
				t.Fatalf("the log at %s differs from the frame: %v", r.Entry.Position, err)
			}
			if b.stored[r.Queue] == nil {
				b.stored[r.Queue] = map[message.Offset][]byte{}
			}
			b.stored[r.Queue][r.Offset] = raw[message.EnvelopeLen:]
			n++
		}
		start, raw, err := s.SnapshotBehind(t.Context(), seg.End)
		if err != nil || start < seg.End {
			t.Fatalf("snapshot behind %s starts at %s, %v", seg.End, start, err)
		}
		b.snapshot = raw
		s.Sealed(uint64(i + 1))
		for range 2 { // the second time it is gone already
			if err := s.Trim(t.Context(), seg.Base); err != nil {
				t.Fatal(err)
			}
		}
	}
	return n
}

func TestTrimSendsReadersToTheBucket(t *testing.T) {
	fsys := memfs.New(21)
	b := &bucket{stored: map[message.Queue]map[message.Offset][]byte{}}
	r := newRig(t, fsys, 21)
	r.opts.Bucket, r.Shard.opts.Bucket = b, b
	body := string(bytes.Repeat([]byte("x"), 8000))
	for i := range 60 {
		r.send(text(0, fmt.Sprintf("%d%s", i, body), ""))
	}
	got := r.lease(leaseRequest("g", 1)) // its message will be cold
	sealed := b.sealAll(t, r.Shard)
	if sealed == 0 {
		t.Fatal("nothing was sealed")
	}
	q := message.Queue{Topic: testTopic}
	check := func() {
		t.Helper()
		state, err := r.Queue(t.Context(), q)
		if err != nil || state.FirstLocal != message.Offset(sealed) || state.First != 0 || state.Next != 60 {
			t.Fatalf("queue %+v, %v; %d messages were trimmed", state, err, sealed)
		}
		f, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: q, Offset: 0, Max: 10, MaxBytes: 1 << 20})
		if err != nil || len(f.Messages) != 0 || f.FirstLocal != message.Offset(sealed) {
			t.Fatalf("fetch of a cold offset: %d messages, %+v, %v", len(f.Messages), f.FirstLocal, err)
		}
		f, err = r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: q, Offset: state.FirstLocal, Max: 1, MaxBytes: 1 << 20})
		if err != nil || len(f.Messages) != 1 {
			t.Fatalf("fetch of the first local offset: %v", err)
		}
	}
	check()
	cold := leaseRequest("cold", 1)
	cold.MaxAttempts = 1
	if d := r.lease(cold); len(d) != 1 || d[0].Record != nil || d[0].Handle.Offset != 0 {
		t.Fatalf("a cold lease has no bytes: %+v", d)
	}
	// A cold message is dead-lettered with the bytes of the bucket.
	if err := r.DeadLetter(t.Context(), got[0].Handle); err != nil {
		t.Fatal(err)
	}
	dead, err := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: message.Queue{Topic: deadTopic}, Max: 1, MaxBytes: 1 << 20})
	if err != nil || len(dead.Messages) != 1 || string(message.Stored(dead.Messages[0].Stored).Body()) != "0"+body {
		t.Fatalf("dead letter of a cold message: %v", err)
	}
	r.restart()
	check()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	// Without any local snapshot the one in the bucket brings everything back; without both the shard refuses.
	removeAll(t, fsys, "/shard/"+snapshotDir)
	r.open()
	check()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	removeAll(t, fsys, "/shard/"+snapshotDir)
	r.opts.Bucket = nil
	if err := r.tryOpen(); !errors.Is(err, errNoStart) {
		t.Errorf("open without any snapshot: %v", err)
	}
}

// coldRig is a shard whose oldest messages of queue 0 are in the bucket only; bodies are 8 KB and begin with their offset.
func coldRig(t *testing.T, seed uint64) (r *rig, b *bucket, sealed int) {
	t.Helper()
	b = &bucket{stored: map[message.Queue]map[message.Offset][]byte{}}
	r = newRig(t, memfs.New(seed), seed)
	r.opts.Bucket, r.Shard.opts.Bucket = b, b
	body := string(bytes.Repeat([]byte("x"), 8000))
	for i := range 60 {
		r.send(text(0, fmt.Sprintf("%d%s", i, body), ""))
		r.clock.Advance(time.Second)
	}
	if sealed = b.sealAll(t, r.Shard); sealed == 0 {
		t.Fatal("nothing was sealed")
	}
	return r, b, sealed
}

// A bucket that hangs holds up the lease that needs it and nobody else: least of all the apply, which takes the
// lock of every group.
func TestNewGroupDoesNotHoldTheShardWhileTheBucketHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b, _ := coldRig(t, 22)
		r.send(text(1, "hot", ""))
		hot := leaseRequest("g", 1)
		hot.Queues = []message.QueueID{1}
		got := r.lease(hot)
		slow := &slowBucket{Bucket: b, asked: make(chan struct{}, 1), answer: make(chan struct{})}
		r.Shard.opts.Bucket = slow
		leased := make(chan error, 1)
		go func() {
			cold := leaseRequest("g", 1)
			cold.Start.Policy = storelayer.StartAuto
			_, err := r.Lease(t.Context(), cold)
			leased <- err
		}()
		<-slow.asked
		acked := make(chan struct{})
		go func() {
			r.ack(got...)
			close(acked)
		}()
		synctest.Wait()
		select {
		case <-acked:
		default:
			t.Error("an ack waits for the bucket")
		}
		close(slow.answer)
		if err := <-leased; err != nil {
			t.Error(err)
		}
		<-acked
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A message that the bucket has lost is an alarm; those behind it leave all the same.
func TestUnreadableMessageDoesNotHoldTheDeadLettersBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b, _ := coldRig(t, 26)
		req := leaseRequest("g", 2)
		req.MaxAttempts = 1
		if got := r.lease(req); len(got) != 2 {
			t.Fatal("no lease")
		}
		delete(b.stored[message.Queue{Topic: testTopic}], 0)
		var alarms []message.Offset
		r.Shard.opts.Events.DeadLetter = func(_ string, _ message.Queue, o message.Offset, _ error) { alarms = append(alarms, o) }
		for range 12 {
			r.clock.Advance(time.Second)
			synctest.Wait()
		}
		if next := r.table.Next(message.Queue{Topic: deadTopic}); next != 1 {
			t.Errorf("%d dead letters, want 1", next)
		}
		if len(alarms) == 0 || slices.Max(alarms) != 0 {
			t.Errorf("alarms for %v", alarms)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A group that starts at a time starts there though only the bucket has it.
func TestStartAtATimeInTheBucket(t *testing.T) {
	r, _, sealed := coldRig(t, 23)
	for _, want := range []int{0, 1, sealed - 1, sealed, sealed + 1} {
		req := leaseRequest(fmt.Sprintf("g%d", want), 1)
		req.Start = storelayer.StartFrom{Policy: storelayer.StartAtTime, Time: testWall.Add(time.Duration(want) * time.Second).UnixMilli()}
		if got := r.lease(req); len(got) != 1 || got[0].Handle.Offset != message.Offset(want) {
			t.Errorf("start at the time of message %d of which %d are cold: %+v", want, sealed, got)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

// Whoever sees that local bytes are gone must be told of the seal that has them, or it looks in a manifest that is too old.
func TestTierCoversWhatIsNoLongerLocal(t *testing.T) {
	r := newRig(t, memfs.New(24), 24)
	body := string(bytes.Repeat([]byte("x"), 20_000))
	for i := range 400 {
		r.send(text(0, fmt.Sprintf("%d%s", i, body), ""))
	}
	q := message.Queue{Topic: testTopic}
	full := r.FullSegments()
	next := make(map[message.Offset]uint64) // first local offset → the seal that it needs
	firsts := []message.Offset{0}
	for i, seg := range full {
		for rec, err := range r.Messages(t.Context(), seg.Base) {
			if err != nil {
				t.Fatal(err)
			}
			firsts = append(firsts[:i+1], rec.Offset+1)
		}
		next[firsts[i+1]] = uint64(i + 1)
	}
	if _, _, err := r.SnapshotBehind(t.Context(), full[len(full)-1].End); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	check := func(what string, first message.Offset, tier storelayer.TierState) {
		if tier.SealSequence < next[first] {
			t.Errorf("%s: the first local offset is %d, which needs seal %d, and the tier says %d", what, first, next[first], tier.SealSequence)
		}
	}
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			state, err := r.Queue(t.Context(), q)
			check("queue", state.FirstLocal, state.Tier)
			f, fetchErr := r.Fetch(t.Context(), &storelayer.FetchRequest{Queue: q, Offset: 399, Max: 1})
			check("fetch", f.FirstLocal, f.Tier)
			_, state, timeErr := r.OffsetAt(t.Context(), q, testWall.UnixMilli()+1)
			check("offset at", state.FirstLocal, state.Tier)
			if err := errors.Join(err, fetchErr, timeErr); err != nil {
				t.Error(err)
			}
		}
	}()
	for i, seg := range full {
		r.Sealed(uint64(i + 1))
		if err := r.Trim(t.Context(), seg.Base); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	close(stop)
	<-done
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestCloseLetsGoOfTheQueueFiles(t *testing.T) {
	r, _, _ := coldRig(t, 25)
	r.restart()
	for i := range 20 {
		r.send(text(0, fmt.Sprintf("%d%s", i, bytes.Repeat([]byte("y"), 20_000)), ""))
	}
	if err := r.writeQueueFiles(); err != nil {
		t.Fatal(err)
	}
	files := maps.Clone(r.files)
	if len(files) == 0 {
		t.Fatal("no queue file is open")
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for base, file := range files {
		if err := file.Close(); !errors.Is(err, vfs.ErrClosed) {
			t.Errorf("queue file of segment %s is still open: %v", base, err)
		}
	}
	if err := r.Trim(t.Context(), 0); !errors.Is(err, storelayer.ErrClosed) {
		t.Errorf("trim of a closed shard: %v", err)
	}
}

// TestOldSegmentsAreClosed: a segment with a message is closed by its age, an idle one is not, however often time passes.
func TestOldSegmentsAreClosed(t *testing.T) {
	r := newRig(t, memfs.New(22), 22)
	r.Shard.opts.SealMaxAge = time.Hour
	pass := func() {
		r.clock.Advance(2 * time.Hour)
		r.rollOld()
		r.send(message.Message{Topic: "other", Queue: message.Queue{Topic: testTopic + 1}, Body: []byte("x")}) // a frame behind the roll
	}
	r.rollOld()
	r.clock.Advance(2 * time.Hour)
	r.rollOld()
	if err := r.Alive(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if n := len(r.FullSegments()); n != 0 {
		t.Fatalf("an idle shard closed %d segments", n)
	}
	r.send(text(0, "a", ""))
	pass()
	if n := len(r.FullSegments()); n != 1 {
		t.Fatalf("%d segments are closed, want the one with the old message", n)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
}
