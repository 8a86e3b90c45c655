package commitlog

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

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
