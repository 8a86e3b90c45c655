package commitlog

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
)

// The benchmarks write to the folder that TMPDIR names: point it at the disk that is meant.

const benchRecord = 1024 // bytes of a record, envelope included

type benchBatch struct{ body []byte }

func (b *benchBatch) Size() int { return message.EnvelopeLen + len(b.body) }

func (b *benchBatch) AppendTo(dst []byte, _ message.Position, _ int64) ([]byte, int) {
	return message.Record{Type: message.RecordMessage, Topic: 1, Body: b.body}.AppendTo(dst), 1
}

func benchOptions(b *testing.B) Options {
	b.Helper()
	opts := testOptions(osfs.New(), 1)
	opts.Dir, opts.Clock, opts.Create = b.TempDir(), clock.Real(), true
	opts.SegmentSize, opts.FillChunk, opts.IdleAfter = DefaultSegmentSize, FillChunk, DefaultIdleAfter
	return opts
}

// BenchmarkAppend has so many producers, each of which waits for its answer. A producer keeps its request.
func BenchmarkAppend(b *testing.B) {
	for _, ack := range []AckMode{AckDurable, AckLocal} {
		for _, producers := range []int{1, 64, 256} {
			name := map[AckMode]string{AckDurable: "durable", AckLocal: "local"}[ack]
			b.Run(fmt.Sprintf("ack=%s/producers=%d", name, producers), func(b *testing.B) {
				opts := benchOptions(b)
				var frames atomic.Int64
				opts.Events.Committed = func(int, int, time.Duration) { frames.Add(1) }
				l := openRunning(b, opts)
				defer l.stop()
				b.SetBytes(benchRecord)
				b.ReportAllocs()
				shareOut(b, producers, func(next func() bool) {
					done := make(chan error, 1)
					req := &Request{
						Batch: &benchBatch{make([]byte, benchRecord-message.EnvelopeLen)}, Ack: ack,
						Done: func(err error) { done <- err },
					}
					for next() {
						if err := l.Submit(req); err != nil {
							b.Error(err)
							return
						}
						if err := <-done; err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/float64(max(frames.Load(), 1)), "records/sync")
			})
		}
	}
}

// shareOut runs the iterations of b in so many goroutines. b.Loop belongs to one goroutine, so it
// hands out turns through a buffer that never runs dry.
func shareOut(b *testing.B, n int, loop func(next func() bool)) {
	b.Helper()
	turns := make(chan struct{}, 2*n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			loop(func() bool {
				_, ok := <-turns
				return ok
			})
		})
	}
	for b.Loop() {
		turns <- struct{}{}
	}
	close(turns)
	wg.Wait()
}

// BenchmarkBare is the disk's own price: one write and one fdatasync of as many bytes, into zeros.
func BenchmarkBare(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("size=%dKiB", size>>10), func(b *testing.B) {
			const length = 256 << 20
			f, err := osfs.New().Create(b.TempDir() + "/bare")
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			for off := int64(0); off < length; off += fillStep {
				if err := f.WriteZeros(off, fillStep); err != nil {
					b.Fatal(err)
				}
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			off := int64(0)
			for b.Loop() {
				if _, err := f.WriteAt(buf, off); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
				off = (off + int64(size)) % length
			}
		})
	}
}

// BenchmarkRead reads records of the active segment (by its map) and of an old one (by pread).
func BenchmarkRead(b *testing.B) {
	opts := benchOptions(b)
	opts.SegmentSize = 1 << 20
	l := openRunning(b, opts)
	var at []message.Position
	for range 4000 {
		t := &textBatch{texts: [][]byte{make([]byte, benchRecord-message.EnvelopeLen)}}
		if err := l.Append(b.Context(), t, AckLocal); err != nil {
			b.Fatal(err)
		}
		at = append(at, t.at...)
	}
	if err := l.Append(b.Context(), texts("x"), AckDurable); err != nil {
		b.Fatal(err)
	}
	for name, from := range map[string]int{"by=map": len(at) - 50, "by=pread": 0} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchRecord)
			b.ReportAllocs()
			var buf []byte
			i := 0
			for b.Loop() {
				var err error
				if buf, err = l.Read(buf[:0], at[from+i%50], benchRecord); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkRecover opens 256 MiB of records of 1 KiB that no snapshot covers, and replays them.
func BenchmarkRecover(b *testing.B) {
	opts := benchOptions(b)
	l := openRunning(b, opts)
	const total = 256 << 20
	batch := BatchFunc(FrameTarget/2, func(dst []byte, _ message.Position, _ int64) ([]byte, int) {
		n := 0
		for ; n < FrameTarget/2/benchRecord; n++ {
			dst = message.Record{Type: message.RecordMessage, Topic: 1, Body: make([]byte, benchRecord-message.EnvelopeLen)}.AppendTo(dst)
		}
		return dst, n
	})
	for range total / (FrameTarget / 2) {
		if err := l.Append(b.Context(), batch, AckDurable); err != nil {
			b.Fatal(err)
		}
	}
	l.stop()
	opts.Create = false
	b.SetBytes(total)
	for b.Loop() {
		l, err := Open(b.Context(), opts)
		if err != nil {
			b.Fatal(err)
		}
		records := 0
		err = l.Replay(b.Context(), 0, func(f Frame) error {
			records += f.Count
			return nil
		})
		if err != nil || records != total/benchRecord {
			b.Fatal(records, err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
