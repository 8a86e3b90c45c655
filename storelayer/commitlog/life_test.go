package commitlog

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
)

// TestLife runs the files of testdata/commitlog: one log each on a disk that can crash. Frames are
// committed one by one on the test's own goroutine, so that every call has its place.
func TestLife(t *testing.T) {
	datadriven.Walk(t, "testdata/commitlog", func(t *testing.T, path string) {
		h := &lifeHarness{fs: memfs.New(1)}
		datadriven.RunTest(t, path, h.run)
		h.close()
	})
}

type lifeHarness struct {
	fs    *memfs.FS
	log   *Log
	trace *strings.Builder // of calls that change something, while a command asks for it
}

func (h *lifeHarness) close() {
	if h.log != nil {
		_ = h.log.Close() // the disk may be gone; what matters is on it
		h.log = nil
	}
}

func (h *lifeHarness) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	var out strings.Builder
	if d.HasArg("trace") {
		h.trace = &out
	}
	h.fs.SetHook(h.hook(argOf(t, d, "fail")))
	switch d.Cmd {
	case "open":
		h.open(t, d, &out)
	case "start":
		var epoch uint32
		d.ScanArgs(t, "epoch", &epoch)
		var batch Batch
		if d.HasArg("size") {
			var n int
			d.ScanArgs(t, "size", &n)
			batch = texts(strings.Repeat("x", n))
		}
		report(&out, h.log.Start(t.Context(), message.Epoch(epoch), batch))
	case "append":
		words := strings.Fields(d.Input)
		if d.HasArg("size") { // one record of so many bytes
			var n int
			d.ScanArgs(t, "size", &n)
			words = []string{strings.Repeat("x", n)}
		}
		h.append(t, &out, words, d.HasArg("roll"))
	case "prove":
		h.append(t, &out, nil, false)
	case "read":
		h.read(t, &out)
	case "segments":
		for _, s := range h.log.Segments() {
			fmt.Fprintf(&out, "[%d, %d) active=%v file=%d\n", s.Base, s.End, s.Active, s.FileSize)
		}
	case "trim":
		var upTo uint64
		d.ScanArgs(t, "to", &upTo)
		report(&out, h.log.Trim(t.Context(), message.Position(upTo)))
	case "crash":
		h.crash(t, d)
	case "kill":
		old := h.fs
		h.fs = old.Restart()
		h.close()
	case "close":
		report(&out, h.log.Close())
		h.log = nil
	case "damage":
		h.damage(t, d, &out)
	case "files":
		for _, name := range h.fs.Names() {
			fmt.Fprintln(&out, name)
		}
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	h.trace = nil
	return out.String()
}

func argOf(t *testing.T, d *datadriven.TestData, name string) string {
	t.Helper()
	var s string
	if d.HasArg(name) {
		d.ScanArgs(t, name, &s)
	}
	return s
}

// hook traces, and fails the first call of that kind; "kind+" fails it although it took effect, "short" is half a write.
func (h *lifeHarness) hook(fail string) memfs.Hook {
	kind, effect := strings.CutSuffix(fail, "+")
	return func(op memfs.Op) memfs.Fault {
		var f memfs.Fault
		switch {
		case kind != "" && kind == op.Kind.String():
			f = memfs.Fault{Err: memfs.ErrInjected, Effect: effect}
		case kind == "short" && op.Kind == memfs.OpWrite:
			f = memfs.Fault{Err: vfs.ErrNoSpace, Short: op.Len / 2}
		}
		if h.trace != nil && op.Kind.Changes() {
			failed := ""
			if f.Err != nil {
				failed = " fails"
			}
			fmt.Fprintf(h.trace, "  %s%s\n", op, failed)
		}
		return f
	}
}

func report(out *strings.Builder, err error) {
	if err != nil {
		fmt.Fprintf(out, "error: %v\n", err)
		return
	}
	fmt.Fprintln(out, "ok")
}

func (h *lifeHarness) open(t *testing.T, d *datadriven.TestData, out *strings.Builder) {
	t.Helper()
	h.close()
	opts := testOptions(h.fs, 1)
	opts.SegmentSize, opts.FillChunk = 64<<10, 16<<10
	opts.Create = d.HasArg("create")
	opts.Events.Recovered = func(r Recovery) {
		fmt.Fprintf(out, "recovered [%d, %d) watermark=%d cut=%d segments=%d epoch=%d\n",
			r.First, r.End, r.Watermark, r.Cut, r.Segments, uint32(r.LastEpoch))
	}
	l, err := Open(t.Context(), opts)
	if err != nil {
		report(out, err)
		return
	}
	h.log = l
}

// append commits one frame of the texts, as the committer's goroutines do together.
func (h *lifeHarness) append(t *testing.T, out *strings.Builder, words []string, roll bool) {
	t.Helper()
	l := h.log
	if err := l.Fenced(); err != nil {
		report(out, err)
		return
	}
	f := newFrameBuf()
	answer := errors.New("no answer")
	l.fill(f, []*Request{{Batch: texts(words...), Done: func(err error) { answer = err }, size: int64(texts(words...).Size())}})
	if roll {
		l.planSegment(f, int64(len(f.buf)+frameCRCLen))
	}
	l.seal(f)
	if err := l.commit(t.Context(), f); err != nil {
		l.fence.raise(l, err)
		f.err = l.Fenced()
	}
	f.answer(AckDurable, f.err)
	if answer != nil {
		report(out, answer)
		return
	}
	fmt.Fprintf(out, "durable [%d, %d)\n", f.head.position, f.head.end())
}

func (h *lifeHarness) read(t *testing.T, out *strings.Builder) {
	t.Helper()
	err := h.log.Frames(t.Context(), h.log.Segments()[0].Base, h.log.Watermark(), func(f Frame) error {
		fmt.Fprintf(out, "frame %d epoch %d:", f.Position, uint32(f.Epoch))
		err := f.All(func(at message.Position, r message.Record, size int) error {
			buf, again, err := h.log.ReadRecord(nil, at)
			if err != nil || len(buf) != size || string(again.Body) != string(r.Body) {
				return fmt.Errorf("ReadRecord at %d differs: %w", at, err)
			}
			text := string(r.Body)
			if len(text) > 40 {
				text = fmt.Sprintf("<%d bytes>", len(text))
			}
			fmt.Fprintf(out, " %s@%d", text, at)
			return nil
		})
		fmt.Fprintln(out)
		return err
	})
	if err != nil {
		report(out, err)
	}
}

func (h *lifeHarness) crash(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	o := memfs.CrashOptions{Keep: memfs.KeepNone}
	seed := uint64(1)
	switch argOf(t, d, "keep") {
	case "all":
		o.Keep = memfs.KeepAll
	case "random":
		o.Keep = memfs.KeepRandom
		d.ScanArgs(t, "seed", &seed)
	}
	old := h.fs
	h.fs = old.Crash(seed, o)
	h.close()
}

// damage flips a byte at a position of the log, or at an offset of a file, or cuts a file.
func (h *lifeHarness) damage(t *testing.T, d *datadriven.TestData, out *strings.Builder) {
	t.Helper()
	var base, at uint64
	d.ScanArgs(t, "segment", &base)
	name := path.Join("/log", segmentName(message.Position(base)))
	flip := func(b []byte) { b[0] ^= 0x10 }
	switch {
	case d.HasArg("at"):
		d.ScanArgs(t, "at", &at)
		report(out, h.fs.Damage(name, int64(pageSize+at-base), flip, 1))
	case d.HasArg("offset"):
		d.ScanArgs(t, "offset", &at)
		report(out, h.fs.Damage(name, int64(at), flip, 1))
	case d.HasArg("length"):
		d.ScanArgs(t, "length", &at)
		f, err := h.fs.Open(name)
		if err == nil {
			err = errors.Join(f.Truncate(int64(at)), f.Sync(), f.Close())
		}
		report(out, err)
	case d.HasArg("gone"):
		report(out, errors.Join(h.fs.Remove(name), h.fs.SyncDir("/log")))
	}
}
