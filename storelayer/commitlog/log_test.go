package commitlog

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
)

func TestAppendReadReopen(t *testing.T) {
	engines := map[string]func(t *testing.T) Options{
		"memfs": func(*testing.T) Options {
			o := testOptions(memfs.New(1), 1)
			return o
		},
		"osfs": func(t *testing.T) Options {
			o := testOptions(osfs.New(), 1)
			o.Dir = t.TempDir() + "/a/log"
			return o
		},
	}
	for name, options := range engines {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			opts.Create = true
			applied := 0
			opts.Apply = func(f Frame) { applied += f.Count }
			l := openRunning(t, opts)
			var wg sync.WaitGroup
			batches := make([]*textBatch, 200)
			for i := range batches {
				batches[i] = &textBatch{texts: [][]byte{numbered(uint64(i), 100+i*20), numbered(uint64(i), 9)}}
				wg.Go(func() {
					if err := l.Append(t.Context(), batches[i], AckMode(i%2)); err != nil {
						t.Errorf("append: %v", err)
					}
				})
			}
			wg.Wait()
			if err := l.Append(t.Context(), texts("last"), AckDurable); err != nil {
				t.Fatal(err)
			}
			check := func(l *Log) {
				t.Helper()
				for i, b := range batches {
					for k, at := range b.at {
						_, r, err := l.ReadRecord(nil, at)
						if err != nil || !bytes.Equal(r.Body, b.texts[k]) {
							t.Fatalf("batch %d record %d at %d: %v", i, k, at, err)
						}
					}
				}
				if bodies := readAll(t, l); len(bodies) != 401 {
					t.Fatalf("%d records", len(bodies))
				}
			}
			check(l.Log)
			end := l.Watermark()
			if n := len(l.Segments()); n < 3 {
				t.Fatalf("%d segments", n)
			}
			l.stop()
			if applied != 401 {
				t.Fatalf("applied %d", applied)
			}

			opts.Create = false
			again, err := Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = again.Close() }()
			if again.Watermark() < end {
				t.Fatalf("watermark %d after %d", again.Watermark(), end)
			}
			check(again)
			if err := again.Start(t.Context(), 1, nil); !errors.Is(err, ErrEpoch) {
				t.Fatalf("start of an old epoch: %v", err)
			}
		})
	}
}

func TestLargeBatchesMakeLongSegments(t *testing.T) {
	opts := testOptions(memfs.New(1), 1)
	opts.Create = true
	l := openRunning(t, opts)
	var at []message.Position
	for i := range 5 {
		b := &textBatch{texts: [][]byte{numbered(uint64(i), 4<<20)}}
		if err := l.Append(t.Context(), b, AckDurable); err != nil {
			t.Fatal(err)
		}
		at = append(at, b.at...)
	}
	for i, p := range at {
		_, r, err := l.ReadRecord(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := checkNumbered(r.Body); err != nil || n != uint64(i) {
			t.Fatal(n, err)
		}
	}
	big := BatchFunc(MaxBatch+1, nil)
	if err := l.Append(t.Context(), big, AckDurable); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

func TestRollAndTrim(t *testing.T) {
	opts := testOptions(memfs.New(1), 1)
	opts.Create = true
	rolled := make(chan SegmentInfo, 10)
	opts.Events.Rolled = func(s SegmentInfo) { rolled <- s }
	l := openRunning(t, opts)
	b := texts("one")
	for i := range 3 {
		if err := l.Append(t.Context(), texts(fmt.Sprint("text ", i)), AckDurable); err != nil {
			t.Fatal(err)
		}
		l.Roll()
		<-rolled
	}
	if err := l.Append(t.Context(), b, AckDurable); err != nil {
		t.Fatal(err)
	}
	segments := l.Segments()
	if len(segments) != 4 || segments[0].End != segments[1].Base || !segments[3].Active {
		t.Fatalf("%+v", segments)
	}
	if err := l.Trim(t.Context(), segments[2].End); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.ReadRecord(nil, segments[0].Base+frameHeaderLen); !errors.Is(err, ErrTrimmed) {
		t.Fatal(err)
	}
	if err := l.Trim(t.Context(), l.Watermark()+1<<30); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Segments()); n != 1 {
		t.Fatalf("%d segments after all were trimmed", n)
	}
	if _, r, err := l.ReadRecord(nil, b.at[0]); err != nil || string(r.Body) != "one" {
		t.Fatal(err)
	}
}

// TestLazy: what nobody waits for makes no frame of its own until its time has passed, and stands before what came after it.
func TestLazy(t *testing.T) {
	opts := testOptions(memfs.New(1), 1)
	opts.Create = true
	manual := clock.NewManual(testWall)
	opts.Clock = manual
	frames := make(chan int, 16)
	opts.Apply = func(f Frame) { frames <- f.Count }
	l := openRunning(t, opts)
	<-frames // the epoch's first
	lazy := texts("lazy")
	done := make(chan error, 2)
	if err := l.Submit(&Request{Batch: lazy, Lazy: true, Done: func(err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	eager := texts("eager")
	if err := l.Append(t.Context(), eager, AckDurable); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := <-frames; n != 2 || lazy.at[0] >= eager.at[0] {
		t.Errorf("a frame of %d records, the lazy one at %d, the other at %d", n, lazy.at[0], eager.at[0])
	}
	if err := l.Submit(&Request{Batch: texts("alone"), Lazy: true, Done: func(err error) { done <- err }}); err != nil {
		t.Fatal(err)
	}
	for waiting := true; waiting; {
		manual.Advance(lazyAfter)
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			waiting = false
		default:
			runtime.Gosched()
		}
	}
	if n := <-frames; n != 1 {
		t.Errorf("a frame of %d records", n)
	}
}
