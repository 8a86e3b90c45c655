package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

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

func (b *bucket) OffsetAt(_ context.Context, q message.Queue, t int64) (message.Offset, bool, error) {
	for offset := range message.Offset(len(b.stored[q])) {
		if message.Stored(b.stored[q][offset]).StoreTime() >= t {
			return offset, true, nil
		}
	}
	return 0, false, nil
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
