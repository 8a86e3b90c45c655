package offload_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/offload"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
	"github.com/stratamq/stratamq/tiering/segment"
)

// fileShard reads the segment from a file by pread, as a log does.
type fileShard struct {
	offload.Source

	file *os.File
}

func (s fileShard) ReadAt(_ context.Context, dst []byte, at message.Position) error {
	_, err := s.file.ReadAt(dst, int64(at))
	return err
}

func (s fileShard) Trim(context.Context, message.Position) error { return nil }

const benchQueues = 64

// reportCPU reports what the process used of the CPU since start per iteration: what counts where others share the machine.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64((cpuTime(b)-start).Milliseconds())/float64(b.N), "cpu-ms/op")
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchShard has one full segment of about so many bytes in 64 queues of one topic, and the same bytes in a file.
func benchShard(b *testing.B, bytes int) fileShard {
	b.Helper()
	w := newWorld(b, 1)
	s := fileShard{Source: w.shard}
	var qs []message.Queue
	for i := range benchQueues {
		qs = append(qs, message.Queue{Topic: 1, ID: message.QueueID(i)})
	}
	w.shard.Fill(w.random, offloadtest.FillOptions{Messages: bytes / 1024, Queues: qs, MaxBody: 1600, Keys: 1000})
	w.shard.Roll()
	segments, err := s.Sealable(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	log := make([]byte, segments[0].Bytes)
	if err := s.Source.ReadAt(b.Context(), log, 0); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "segment")
	if err := os.WriteFile(path, log, 0o600); err != nil {
		b.Fatal(err)
	}
	if s.file, err = os.Open(path); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.file.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// nowhere takes objects and forgets their bytes: what is left is the cost of a seal before the bucket.
type nowhere struct{ tiering.ObjectStore }

func (nowhere) Put(context.Context, string, io.ReaderAt, int64, tiering.PutOptions) error { return nil }

func (nowhere) Create(context.Context, string, int64) (tiering.Upload, error) { return upload{}, nil }

type upload struct{}

func (upload) Part(context.Context, int, []byte) error                 { return nil }
func (upload) Complete(context.Context, int, tiering.PutOptions) error { return nil }
func (upload) Abort(context.Context) error                             { return nil }

// BenchmarkSeal makes the object of a segment of 256 MiB. The goal is at most 1.5 times BenchmarkZstd in CPU.
func BenchmarkSeal(b *testing.B) {
	s := benchShard(b, 256<<20)
	for _, codec := range []segment.Codec{segment.CodecNone, segment.CodecS2, segment.CodecZstd} {
		for _, gather := range []int{64 << 20, 256 << 20} {
			b.Run(fmt.Sprintf("codec=%v/gather=%dMiB", codec, gather>>20), func(b *testing.B) {
				w := newWorld(b, 1)
				w.config.Codec, w.config.GatherBytes, w.config.BlockSize = codec, gather, segment.DefaultBlockSize
				b.ReportAllocs()
				start := cpuTime(b)
				for b.Loop() {
					n, err := offload.WriteObject(b.Context(), s, nowhere{}, w.config)
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(n)
				}
				reportCPU(b, start)
			})
		}
	}
}

// BenchmarkZstd compresses the same bytes in blocks of the same size, in log order, and does nothing else.
func BenchmarkZstd(b *testing.B) {
	s := benchShard(b, 256<<20)
	segments, err := s.Sealable(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	log := make([]byte, segments[0].Bytes)
	if err := s.Source.ReadAt(b.Context(), log, 0); err != nil {
		b.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(log)))
	var buf []byte
	start := cpuTime(b)
	for b.Loop() {
		for off := 0; off < len(log); off += segment.DefaultBlockSize {
			buf = enc.EncodeAll(log[off:min(len(log), off+segment.DefaultBlockSize)], buf[:0])
		}
	}
	reportCPU(b, start)
}

// BenchmarkCopy uploads the segment's file and reads it back, which a seal with codec none must not double.
func BenchmarkCopy(b *testing.B) {
	s := benchShard(b, 256<<20)
	w := newWorld(b, 1)
	info, err := s.file.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	start := cpuTime(b)
	for b.Loop() {
		if err := w.store.Put(b.Context(), "c1/copy", s.file, info.Size(), tiering.PutOptions{}); err != nil {
			b.Fatal(err)
		}
		if _, err := tiering.ReadChecksum(b.Context(), w.store, "c1/copy", info.Size()); err != nil {
			b.Fatal(err)
		}
	}
	reportCPU(b, start)
}
