package commitlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
)

// corruptions is how many bad disks TestCorruption has.
const corruptions = 600

// TestCorruption damages a closed log at random: a bit, a sector, a page or a swapped page below the watermark. Each is
// refused, or lies where nothing is stored, and never changes or loses a record.
func TestCorruption(t *testing.T) {
	var refused, harmless int
	var whole *memfs.FS // each restart of it is a copy
	for seed := range uint64(corruptions) {
		rng := rand.New(rand.NewPCG(seed, 5))
		if seed%20 == 0 {
			whole = closedLog(t, rng)
		}
		fs := whole.Restart()
		segments := provenSegments(t, fs, seed)
		s := segments[rng.IntN(len(segments))]
		what := damageOnce(t, fs, rng, s, seed)

		again, err := Open(t.Context(), testOptions(fs, seed))
		if _, ok := errors.AsType[*DamageError](err); ok {
			refused++
			continue
		}
		if err != nil {
			t.Fatalf("seed %d, %s: %v", seed, what, err)
		}
		harmless++
		bodies := readAll(t, again)
		if len(bodies) != 20 {
			t.Errorf("seed %d, %s: opened with %d of 20 records", seed, what, len(bodies))
		}
		for i, b := range bodies {
			if n, err := checkNumbered(b); err != nil || n != uint64(i) {
				t.Errorf("seed %d, %s: record %d: %v", seed, what, i, err)
			}
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d corruptions: %d refused, %d in padding", corruptions, refused, harmless)
	if refused < corruptions/2 || harmless == 0 {
		t.Errorf("%d refused, %d harmless", refused, harmless)
	}
}

// closedLog is a disk with a log of 20 records, the last frame of which proves all others.
func closedLog(t *testing.T, rng *rand.Rand) *memfs.FS {
	t.Helper()
	fs := memfs.New(rng.Uint64())
	opts := testOptions(fs, rng.Uint64())
	opts.Create = true
	l := openRunning(t, opts)
	for i := range 20 {
		b := &textBatch{texts: [][]byte{numbered(uint64(i), 200+rng.IntN(20000))}}
		if err := l.Append(t.Context(), b, AckDurable); err != nil {
			t.Fatal(err)
		}
	}
	l.stop()
	return fs
}

// provenSegments opens a copy of the log to learn where its segments are.
func provenSegments(t *testing.T, fs *memfs.FS, seed uint64) []SegmentInfo {
	t.Helper()
	l, err := Open(t.Context(), testOptions(fs, seed))
	if err != nil {
		t.Fatal(err)
	}
	segments := l.Segments()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The very last frame is the one without records that proves the others; it is not itself proved.
	segments[len(segments)-1].End -= pageSize
	return segments
}

func damageOnce(t *testing.T, fs *memfs.FS, rng *rand.Rand, s SegmentInfo, seed uint64) string {
	t.Helper()
	name := path.Join("/log", segmentName(s.Base))
	used := int64(s.End-s.Base) + pageSize
	off := rng.Int64N(used)
	n := 1
	change := func(b []byte) { b[0] ^= 1 << rng.IntN(8) }
	what := "bit"
	switch seed % 4 {
	case 1:
		what, n, off = "sector", 512, off&^511
		change = func(b []byte) {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
	case 2:
		what, n, off = "zeroed page", pageSize, off&^(pageSize-1)
		change = func(b []byte) { clear(b) }
	case 3:
		what, n, off = "page of another place", pageSize, off&^(pageSize-1)
		other := make([]byte, pageSize)
		f, err := fs.Open(name)
		if err == nil {
			_, err = f.ReadAt(other, (off+pageSize)%used)
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		change = func(b []byte) { copy(b, other) }
	}
	if err := fs.Damage(name, off, change, n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s at offset %d of %s", what, off, name)
}

// TestVerifyFromSparesBodies: a damaged body below the snapshot costs nothing at the start, and is found when it is read.
func TestVerifyFromSparesBodies(t *testing.T) {
	fs := memfs.New(1)
	opts := testOptions(fs, 1)
	opts.Create = true
	l := openRunning(t, opts)
	for i := range 30 {
		if err := l.Append(t.Context(), &textBatch{texts: [][]byte{numbered(uint64(i), 20000)}}, AckDurable); err != nil {
			t.Fatal(err)
		}
	}
	segments := l.Segments()
	l.stop()
	if len(segments) < 5 {
		t.Fatalf("%d segments", len(segments))
	}
	if err := fs.Damage(path.Join("/log", segmentName(0)), 3*pageSize, func(b []byte) { b[0]++ }, 1); err != nil {
		t.Fatal(err)
	}
	opts = testOptions(fs, 1)
	if _, err := Open(t.Context(), opts); err == nil {
		t.Fatal("a damaged log opened")
	}
	opts.VerifyFrom = segments[2].Base + 1
	again, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	var first message.Position
	err = again.Replay(t.Context(), segments[2].Base+1, func(f Frame) error {
		if first == 0 {
			first = f.Position
		}
		return nil
	})
	if err != nil || first != segments[2].Base {
		t.Errorf("replay from %d began at %d: %v", segments[2].Base+1, first, err)
	}
	err = again.Frames(t.Context(), 0, segments[1].Base, func(Frame) error { return nil })
	if _, ok := errors.AsType[*DamageError](err); !ok {
		t.Errorf("frames of the damaged segment: %v", err)
	}
}

// TestReadersWhileSegmentsComeAndGo: readers by position and by frame, appends, rolls and trims at once.
func TestReadersWhileSegmentsComeAndGo(t *testing.T) {
	opts := testOptions(memfs.New(1), 1)
	opts.Create = true
	l := openRunning(t, opts)
	ctx, stop := context.WithCancel(t.Context())
	var wg, readers sync.WaitGroup
	var mu sync.Mutex
	var at []message.Position
	var bodies [][]byte
	var read, trimmed, framed int
	for r := range 3 {
		rng := rand.New(rand.NewPCG(uint64(r), 6))
		readers.Go(func() {
			var buf []byte
			for ctx.Err() == nil {
				mu.Lock()
				if len(at) == 0 {
					mu.Unlock()
					continue
				}
				i := rng.IntN(len(at))
				p, want := at[i], bodies[i]
				mu.Unlock()
				var rec message.Record
				var err error
				buf, rec, err = l.ReadRecord(buf[:0], p)
				mu.Lock()
				switch {
				case errors.Is(err, ErrTrimmed):
					trimmed++
				case err != nil || !bytes.Equal(rec.Body, want):
					t.Errorf("record at %d: %v", p, err)
				default:
					read++
				}
				mu.Unlock()
			}
		})
	}
	readers.Go(func() {
		for ctx.Err() == nil {
			err := l.Frames(ctx, l.Segments()[0].Base, l.Watermark(), func(f Frame) error {
				framed++
				return f.All(func(message.Position, message.Record, int) error { return nil })
			})
			if err != nil && !errors.Is(err, ErrTrimmed) && !errors.Is(err, context.Canceled) {
				t.Errorf("frames: %v", err)
			}
		}
	})
	for p := range 4 {
		wg.Go(func() {
			for i := range 60 {
				b := &textBatch{texts: [][]byte{numbered(uint64(p*1000+i), 3000)}}
				if err := l.Append(ctx, b, AckMode(i%2)); err != nil {
					t.Error(err)
					return
				}
				if i%2 == int(AckDurable) {
					mu.Lock()
					at, bodies = append(at, b.at...), append(bodies, b.texts...)
					mu.Unlock()
				}
				if i%20 == 10 {
					l.Roll()
					if err := l.Trim(ctx, l.Watermark()/2); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	readers.Wait()
	if read == 0 || trimmed == 0 || framed == 0 {
		t.Errorf("%d read, %d trimmed, %d frames", read, trimmed, framed)
	}
}
