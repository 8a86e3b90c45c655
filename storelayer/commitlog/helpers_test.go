package commitlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
)

var testWall = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// testOptions are those of a small log that never writes by itself.
func testOptions(fsys vfs.FS, seed uint64) Options {
	return Options{
		FS: fsys, Dir: "/log", Clock: clock.NewManual(testWall), Rand: rand.New(rand.NewPCG(seed, 7)), Shard: 3,
		SegmentSize: 128 << 10, FillChunk: 32 << 10, IdleAfter: -1,
	}
}

// memLog is a new disk in memory and the options of a new log on it.
func memLog(seed uint64) (*memfs.FS, Options) {
	fsys := memfs.New(seed)
	opts := testOptions(fsys, seed)
	opts.Create = true
	return fsys, opts
}

// textBatch appends one message record per text and remembers where they came to lie.
type textBatch struct {
	texts [][]byte
	at    []message.Position
}

func (b *textBatch) Size() int {
	n := 0
	for _, t := range b.texts {
		n += message.EnvelopeLen + len(t)
	}
	return n
}

func (b *textBatch) AppendTo(dst []byte, at message.Position, _ int64) ([]byte, int) {
	for _, t := range b.texts {
		b.at = append(b.at, at)
		r := message.Record{Type: message.RecordMessage, Topic: 1, Body: t}
		dst = r.AppendTo(dst)
		at += message.Position(message.EnvelopeLen + len(t))
	}
	return dst, len(b.texts)
}

func texts(s ...string) *textBatch {
	b := &textBatch{}
	for _, t := range s {
		b.texts = append(b.texts, []byte(t))
	}
	return b
}

// noise is what bodies are cut from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 5<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// numbered is a body that says which it is and can be checked whole.
func numbered(n uint64, size int) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, max(size, 8)), n)
	return append(b, noise()[n%4096:][:max(size, 8)-8]...)
}

func checkNumbered(b []byte) (uint64, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("body of %d bytes", len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if !bytes.Equal(b[8:], noise()[n%4096:][:len(b)-8]) {
		return n, fmt.Errorf("body %d differs", n)
	}
	return n, nil
}

// running is a log whose Run is running.
type running struct {
	*Log
	stop   context.CancelFunc
	result chan error
}

// openRunning opens a log and runs it in epoch 1 until the test ends.
func openRunning(t testing.TB, opts Options) *running {
	t.Helper()
	l, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	if err := l.Start(t.Context(), 1, nil); err != nil {
		t.Fatalf("start: %v", err)
	}
	return run(t, l)
}

func run(t testing.TB, l *Log) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	r := &running{Log: l, stop: stop, result: make(chan error, 1)}
	go func() { r.result <- l.Run(ctx) }()
	var once sync.Once
	cleanup := func() {
		once.Do(func() {
			stop()
			if err := <-r.result; err != nil && !errors.Is(err, ErrFenced) {
				t.Errorf("run: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	t.Cleanup(cleanup)
	r.stop = cleanup
	return r
}

// readAll returns the bodies of all records of the log, in log order.
func readAll(t testing.TB, l *Log) (bodies [][]byte) {
	t.Helper()
	err := l.Frames(t.Context(), l.Segments()[0].Base, l.Watermark(), func(f Frame) error {
		return f.All(func(_ message.Position, r message.Record, _ int) error {
			bodies = append(bodies, append([]byte(nil), r.Body...))
			return nil
		})
	})
	if err != nil {
		t.Fatalf("read all: %v", err)
	}
	return bodies
}
