package commitlog

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
)

// TestIdleNewLogIsSmall: a log with the default sizes takes less than 100 MiB of disk before anyone appends.
func TestIdleNewLogIsSmall(t *testing.T) {
	opts := testOptions(osfs.New(), 1)
	opts.Create, opts.Dir = true, t.TempDir()
	opts.SegmentSize, opts.FillChunk = 0, 0
	l := openRunning(t, opts)
	s := l.filler.target()
	for deadline := time.Now().Add(time.Minute); s.filled.Load() < l.filler.want(s); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("filled %d of %d bytes", s.filled.Load(), l.filler.want(s))
		}
	}
	l.stop()
	entries, err := os.ReadDir(opts.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var used, length int64
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(opts.Dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			t.Fatalf("%T", info.Sys())
		}
		used += st.Blocks * 512
		length += st.Size
	}
	if used >= 100<<20 || length != DefaultSegmentSize {
		t.Errorf("%d files use %d bytes of disk for %d", len(entries), used, length)
	}
}

// TestSpareSegment: before a segment is full the next one's file is there, and the roll takes it.
func TestSpareSegment(t *testing.T) {
	fsys, opts := memLog(1)
	l := openRunning(t, opts)
	spares := func() (n int) {
		for _, name := range fsys.Names() {
			if filepath.Ext(name) == tempSuffix {
				n++
			}
		}
		return n
	}
	rolls := 0
	for i := range uint64(60) {
		before := len(l.Segments())
		for deadline := time.Now().Add(time.Minute); l.filler.wantsSpare(l.filler.target()); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("no spare was made")
			}
		}
		if err := l.Append(t.Context(), &textBatch{texts: [][]byte{numbered(i, 9000)}}, AckDurable); err != nil {
			t.Fatal(err)
		}
		if len(l.Segments()) > before {
			rolls++
		}
		if n := spares(); n > 2 {
			t.Fatalf("%d spares", n)
		}
	}
	if rolls == 0 {
		t.Error("no segment was rolled")
	}
}

// TestFullDiskRefuses: a disk that fills up while requests wait refuses them at once, keeps room for what it admits, and
// does not make the stop a failure. What was answered with nil is there afterwards, and nothing else.
func TestFullDiskRefuses(t *testing.T) {
	for _, roll := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fs := memfs.New(1)
			opts := testOptions(fs, 1)
			opts.Create, opts.Clock, opts.IdleAfter = true, clock.Runtime(), time.Second
			opts.SegmentSize, opts.FillChunk = 8<<20, 1<<20
			l := openRunning(t, opts)
			synctest.Wait()
			free, err := fs.FreeSpace("/")
			if err != nil {
				t.Fatal(err)
			}
			fs.SetCapacity(memfs.DefaultCapacity - free + 100<<10)
			answers := make(chan error, 100)
			var stored, refused int
			for i := range uint64(100) {
				if roll && refused == 1 {
					l.Roll() // waits for room, and nothing waits for it
				}
				r := &Request{Batch: &textBatch{texts: [][]byte{numbered(i, 100<<10)}}, Refusable: true, Done: func(err error) { answers <- err }}
				err := l.Submit(r)
				if err == nil {
					synctest.Wait() // not a second passes
					select {
					case err = <-answers:
					default:
						t.Fatalf("send %d hangs", i)
					}
				}
				switch {
				case err == nil:
					stored++
				case errors.Is(err, ErrFull):
					refused++
				default:
					t.Fatalf("send %d: %v", i, err)
				}
				time.Sleep(fullRetry / 2)
			}
			if stored == 0 || refused == 0 {
				t.Errorf("%d stored, %d refused", stored, refused)
			}
			l.stop() // reports an error of Run that is not a fence
			if err := l.Fenced(); err != nil {
				t.Errorf("fenced: %v", err)
			}
			opts.Create = false
			again, err := Open(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(readAll(t, again)); n != stored {
				t.Errorf("%d records of %d", n, stored)
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStopOnAFullDisk: a frame that waits for room when the log stops is refused, and the stop is none of a failure.
func TestStopOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New(1)
		opts := testOptions(fs, 1)
		opts.Create, opts.Clock = true, clock.Runtime()
		opts.SegmentSize, opts.FillChunk = 8<<20, 1<<20
		l := openRunning(t, opts)
		synctest.Wait()
		free, err := fs.FreeSpace("/")
		if err != nil {
			t.Fatal(err)
		}
		fs.SetCapacity(memfs.DefaultCapacity - free)
		answers := make(chan error, 10)
		for range 10 { // not refusable, so they wait for room
			if err := l.Submit(&Request{Batch: &textBatch{texts: [][]byte{make([]byte, 900<<10)}}, Done: func(err error) { answers <- err }}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		l.stop()
		if err := l.Fenced(); err != nil {
			t.Errorf("fenced: %v", err)
		}
		var refused int
		for range 10 {
			if err := <-answers; errors.Is(err, ErrFull) {
				refused++
			} else if err != nil {
				t.Errorf("answer: %v", err)
			}
		}
		if refused == 0 {
			t.Error("none was refused")
		}
	})
}
