package commitlog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
)

// gate holds the syncs of frames up, and the filler's never: a frame's sync follows a write that the gate saw.
type gate struct {
	hold  atomic.Bool
	in    chan struct{} // a frame was written and its sync is about to happen
	leave chan struct{} // lets it go on
	fail  atomic.Pointer[memfs.Fault]
}

func newGate(fs *memfs.FS, frameAt func(off int64) bool) *gate {
	g := &gate{in: make(chan struct{}), leave: make(chan struct{})}
	var written atomic.Bool
	fs.SetHook(func(op memfs.Op) memfs.Fault {
		switch {
		case op.Kind == memfs.OpWrite && frameAt(op.Off):
			written.Store(true)
		case op.Kind == memfs.OpSync && g.hold.Load() && written.Swap(false):
			g.in <- struct{}{}
			<-g.leave
			if f := g.fail.Load(); f != nil {
				return *f
			}
		}
		return memfs.Fault{}
	})
	return g
}

// gatedLog is a running log on a disk whose frame syncs wait for the test; the filler has finished.
func gatedLog(t *testing.T, opts Options, fs *memfs.FS) (*running, *gate) {
	t.Helper()
	opts.Create = true
	l := openRunning(t, opts)
	synctest.Wait() // the filler has filled and made a spare
	g := newGate(fs, func(off int64) bool { return off >= pageSize })
	g.hold.Store(true)
	return l, g
}

func TestWhileOneFrameSyncsTheNextFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New(1)
		opts := testOptions(fs, 1)
		opts.FillChunk = 128 << 10
		frames := make(chan int, 10)
		opts.Events.Committed = func(_, records int, _ time.Duration) { frames <- records }
		l, g := gatedLog(t, opts, fs)
		<-frames // of the epoch
		var wg sync.WaitGroup
		send := func() {
			wg.Go(func() {
				if err := l.Append(t.Context(), texts("x"), AckDurable); err != nil {
					t.Error(err)
				}
			})
		}
		send()
		<-g.in
		for range 50 {
			send()
		}
		synctest.Wait()
		if len(frames) != 0 || l.Watermark() != pageSize {
			t.Errorf("%d frames done before the first sync returned, watermark %d", len(frames), l.Watermark())
		}
		g.leave <- struct{}{}
		<-g.in
		synctest.Wait()
		if n := <-frames; n != 1 {
			t.Errorf("first frame holds %d records", n)
		}
		g.leave <- struct{}{}
		wg.Wait()
		if n := <-frames; n != 50 {
			t.Errorf("second frame holds %d records", n)
		}
		g.hold.Store(false)
	})
}

func TestAckModes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New(1)
		opts := testOptions(fs, 1)
		opts.FillChunk = 128 << 10
		var order []string
		var mu sync.Mutex
		note := func(s string) { mu.Lock(); order = append(order, s); mu.Unlock() }
		opts.Apply = func(f Frame) { note(fmt.Sprint("apply ", f.Count)) }
		l, g := gatedLog(t, opts, fs)
		b := texts("local")
		for _, r := range []*Request{
			{Batch: b, Ack: AckLocal, Done: func(err error) { note(fmt.Sprint("local ", err)) }},
			{Batch: texts("durable"), Done: func(err error) { note(fmt.Sprint("durable ", err)) }},
		} {
			if err := l.Submit(r); err != nil {
				t.Fatal(err)
			}
		}
		<-g.in
		note("sync")
		if _, _, err := l.ReadRecord(nil, b.at[0]); !errors.Is(err, ErrBeyond) {
			t.Errorf("read above the watermark: %v", err)
		}
		g.hold.Store(false)
		g.leave <- struct{}{}
		synctest.Wait()
		if _, r, err := l.ReadRecord(nil, b.at[0]); err != nil || string(r.Body) != "local" {
			t.Errorf("read below the watermark: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		// The first request may have made a frame alone; what counts is who comes before whom.
		got := strings.Join(order, ", ")
		for _, want := range []string{"apply 0, local <nil>, sync, apply ", "apply 2, durable <nil>|apply 1, apply 1, durable <nil>"} {
			ok := false
			for alternative := range strings.SplitSeq(want, "|") {
				ok = ok || strings.Contains(got, alternative)
			}
			if !ok {
				t.Errorf("order %s, want %s", got, want)
			}
		}
	})
}

// TestFailedSyncFences: everyone who waits hears that the outcome is unknown, everyone later that
// nothing was appended, and a disk that works again changes nothing.
func TestFailedSyncFences(t *testing.T) {
	for _, effect := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fs := memfs.New(1)
			opts := testOptions(fs, 1)
			opts.FillChunk = 128 << 10
			fenced := 0
			opts.Events.Fenced = func(error) { fenced++ }
			l, g := gatedLog(t, opts, fs)
			g.fail.Store(&memfs.Fault{Err: memfs.ErrInjected, Effect: effect})
			answers := make(chan error, 20)
			for range 10 {
				if err := l.Submit(&Request{Batch: texts("x"), Done: func(err error) { answers <- err }}); err != nil {
					t.Fatal(err)
				}
			}
			<-g.in
			for range 10 {
				if err := l.Submit(&Request{Batch: texts("x"), Done: func(err error) { answers <- err }}); err != nil {
					t.Fatal(err)
				}
			}
			g.hold.Store(false)
			g.leave <- struct{}{}
			for range 20 {
				if err := <-answers; !errors.Is(err, ErrFenced) || !errors.Is(err, memfs.ErrInjected) {
					t.Errorf("answered %v", err)
				}
			}
			synctest.Wait()
			if err := l.Submit(&Request{Batch: texts("x")}); !errors.Is(err, ErrFenced) {
				t.Errorf("later: %v", err)
			}
			if err := <-l.result; !errors.Is(err, ErrFenced) {
				t.Errorf("run returned %v", err)
			}
			l.result <- nil
			if l.Watermark() != pageSize || fenced != 1 {
				t.Errorf("watermark %d, fenced %d times", l.Watermark(), fenced)
			}
		})
	}
}

func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New(1)
		opts := testOptions(fs, 1)
		opts.FillChunk, opts.MaxPending = 128<<10, 1000
		l, g := gatedLog(t, opts, fs)
		answers := make(chan error, 10)
		submit := func(n int) error {
			return l.Submit(&Request{Batch: texts(strings.Repeat("x", n)), Done: func(err error) { answers <- err }})
		}
		if err := submit(5000); err != nil {
			t.Fatalf("one larger than the bound, alone: %v", err)
		}
		<-g.in
		if err := submit(10); !errors.Is(err, ErrOverloaded) {
			t.Fatal(err)
		}
		g.hold.Store(false)
		g.leave <- struct{}{}
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
		if err := submit(10); err != nil {
			t.Fatal(err)
		}
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdleLogProvesItsLastFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := testOptions(memfs.New(1), 1)
		opts.Create, opts.Clock, opts.IdleAfter = true, clock.Runtime(), time.Second
		l := openRunning(t, opts)
		if err := l.Append(t.Context(), texts("x"), AckDurable); err != nil {
			t.Fatal(err)
		}
		end := l.Watermark()
		time.Sleep(time.Second - 1)
		synctest.Wait()
		if l.Watermark() != end {
			t.Error("proved early")
		}
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		if l.Watermark() != end+pageSize {
			t.Errorf("watermark %d after one idle second, want %d", l.Watermark(), end+pageSize)
		}
		time.Sleep(time.Hour)
		if l.Watermark() != end+pageSize {
			t.Errorf("an idle log went on to %d", l.Watermark())
		}
	})
}

// TestFullDisk: requests that need room wait, later ones are refused, and room makes both go on.
func TestFullDisk(t *testing.T) {
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
		fs.SetCapacity(memfs.DefaultCapacity - free + 100<<10)
		big := func() *textBatch { return &textBatch{texts: [][]byte{make([]byte, 900<<10)}} }
		answers := make(chan error, 10)
		const sent = 4 // more than the zeros that are there already
		for range sent {
			if err := l.Submit(&Request{Batch: big(), Done: func(err error) { answers <- err }}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := len(answers); n == 0 || n == sent {
			t.Fatalf("%d of %d answered on a full disk", n, sent)
		}
		if err := l.Submit(&Request{Batch: texts("x")}); !errors.Is(err, ErrFull) {
			t.Fatal(err)
		}
		fs.SetCapacity(memfs.DefaultCapacity)
		time.Sleep(fullRetry)
		synctest.Wait()
		for range sent {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if err := l.Append(t.Context(), big(), AckDurable); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDiskAtARoll: a disk without room for the next segment's header is no reason to give up either.
func TestFullDiskAtARoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := memfs.New(1)
		opts := testOptions(fs, 1)
		opts.Create, opts.Clock = true, clock.Runtime()
		opts.SegmentSize, opts.FillChunk = 8<<20, 1<<20
		l := openRunning(t, opts)
		big := func() *textBatch { return &textBatch{texts: [][]byte{make([]byte, 900<<10)}} }
		for range 5 {
			if err := l.Append(t.Context(), big(), AckDurable); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		free, err := fs.FreeSpace("/")
		if err != nil {
			t.Fatal(err)
		}
		fs.SetCapacity(memfs.DefaultCapacity - free + 2<<20) // what is left of this segment
		answers := make(chan error, 10)
		for range 5 {
			if err := l.Submit(&Request{Batch: big(), Done: func(err error) { answers <- err }}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := l.Fenced(); err != nil {
			t.Fatalf("a full disk has fenced the log: %v", err)
		}
		if n := len(answers); n == 0 || n == 5 {
			t.Fatalf("%d of 5 answered on a full disk", n)
		}
		if err := l.Submit(&Request{Batch: texts("x")}); !errors.Is(err, ErrFull) {
			t.Fatalf("submit on a full disk: %v", err)
		}
		fs.SetCapacity(memfs.DefaultCapacity)
		time.Sleep(2 * fullRetry)
		synctest.Wait()
		for range 5 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if err := l.Append(t.Context(), big(), AckDurable); err != nil {
			t.Error(err)
		}
	})
}

func TestStoreTimeNeverGoesBack(t *testing.T) {
	c := clock.NewManual(testWall)
	opts := testOptions(memfs.New(1), 1)
	opts.Create, opts.Clock = true, c
	var trusts []clock.Trust
	opts.Events.Time = func(trust clock.Trust, _ int64) { trusts = append(trusts, trust) }
	var times []int64
	opts.Apply = func(f Frame) {
		if f.Count > 0 {
			times = append(times, f.StoreTime-testWall.UnixMilli())
		}
	}
	l := openRunning(t, opts)
	send := func() {
		if err := l.Append(t.Context(), texts("x"), AckDurable); err != nil {
			t.Fatal(err)
		}
	}
	send()
	c.SetWall(testWall.AddDate(1, 0, 0))
	c.Advance(time.Second)
	send()
	c.SetWall(testWall.Add(-time.Second))
	send()
	c.SetWall(testWall.AddDate(1, 0, 0))
	l.AcceptTime()
	send()
	l.stop()
	year := testWall.AddDate(1, 0, 0).Sub(testWall).Milliseconds()
	if !slices.Equal(times, []int64{0, 1000, 1000, year}) ||
		!slices.Equal(trusts, []clock.Trust{clock.TrustBoot, clock.TrustBehind, clock.TrustWall}) {
		t.Errorf("stamps %v, trust %v", times, trusts)
	}
}

// TestTruncatedUnderTheMap cuts the file of a running log on a real disk: reads fail, no signal ends the process.
func TestTruncatedUnderTheMap(t *testing.T) {
	opts := testOptions(osfs.New(), 1)
	opts.Create, opts.Dir = true, t.TempDir()
	l := openRunning(t, opts)
	b := texts(strings.Repeat("x", 9000))
	if err := l.Append(t.Context(), b, AckDurable); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.ReadRecord(nil, b.at[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(opts.Dir, segmentName(0)), pageSize); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.ReadRecord(nil, b.at[0]); !errors.Is(err, vfs.ErrFault) {
		t.Errorf("read of a cut file: %v", err)
	}
	err := l.Frames(t.Context(), 0, l.Watermark(), func(Frame) error { return nil })
	if _, ok := errors.AsType[*DamageError](err); !ok {
		t.Errorf("frames of a cut file: %v", err)
	}
}

func TestClosedLog(t *testing.T) {
	opts := testOptions(memfs.New(1), 1)
	opts.Create = true
	l, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("run before start: %v", err)
	}
	answered := make(chan error, 1)
	if err := l.Submit(&Request{Batch: texts("x"), Done: func(err error) { answered <- err }}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-answered; !errors.Is(err, ErrClosed) {
		t.Errorf("a request that nobody will commit: %v", err)
	}
	if err := l.Submit(&Request{Batch: texts("x")}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := l.Read(nil, 0, 0); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := l.Trim(t.Context(), message.Position(1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
