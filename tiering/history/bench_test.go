package history_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
	"github.com/stratamq/stratamq/tiering/segment"
)

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reportCPU reports what the process used of the CPU since start per iteration: what counts where others share the machine.
func reportCPU(b *testing.B, start time.Duration) {
	b.ReportMetric(float64((cpuTime(b)-start).Milliseconds())/float64(b.N), "cpu-ms/op")
}

// BenchmarkColdRead reads one queue of 128 MiB from an S3 server through a history whose caches are empty. Beside it the
// same bytes by ranged requests alone, and by ranged requests and zstd alone. The goal is 60 % of those, in bytes of
// records.
func BenchmarkColdRead(b *testing.B) {
	server := s3server.New(b)
	for _, codec := range []segment.Codec{segment.CodecNone, segment.CodecZstd} {
		b.Run("codec="+codec.String(), func(b *testing.B) {
			w := newWorld(b, server.Open(b, "bench-"+codec.String(), ""), 1)
			w.caps.ConditionalComplete, w.caps.ChecksumReturned = false, false
			w.config.Codec, w.config.BlockSize = codec, segment.DefaultBlockSize
			q := message.Queue{Topic: 1}
			w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 128 << 10, Queues: []message.Queue{q}, MaxBody: 1600})
			w.seal(b.Context(), w.offloader())
			b.Run("way=history", func(b *testing.B) { w.benchHistory(b, q) })
			b.Run("way=ranges", func(b *testing.B) { w.benchRanges(b, codec) })
		})
	}
}

func (w *world) benchHistory(b *testing.B, q message.Queue) {
	total := len(w.shard.Model(q))
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		h := w.history(w.store, history.DefaultConfig())
		bytes := 0
		for next := message.Offset(0); int(next) < total; {
			got, err := h.Read(b.Context(), 3, q, next, 4096, 4<<20, 1)
			if err != nil || len(got) == 0 {
				b.Fatal(len(got), err)
			}
			next += message.Offset(len(got))
			for _, m := range got {
				bytes += len(m.Stored) + message.EnvelopeLen
			}
		}
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(bytes))
	}
	reportCPU(b, start)
}

// benchRanges fetches the blocks of the object in ranges of 8 MiB, and decompresses each if they are compressed.
func (w *world) benchRanges(b *testing.B, codec segment.Codec) {
	e, _, err := manifest.ReadEntry(b.Context(), w.store, cluster, 3, 1)
	if err != nil {
		b.Fatal(err)
	}
	r, err := manifest.OpenObject(b.Context(), w.store, &e, e.Objects[0])
	if err != nil {
		b.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	defer dec.Close()
	key := e.ObjectKey(e.Objects[0])
	var blocks []segment.Block
	for block := range r.Directory().Blocks() {
		blocks = append(blocks, block)
	}
	raw, records := make([]byte, 8<<20), make([]byte, 0, 1<<20)
	b.SetBytes(int64(r.Trailer().RawBytes))
	start := cpuTime(b)
	for b.Loop() {
		for i := 0; i < len(blocks); {
			first, n, bytes := i, int64(0), raw
			for i < len(blocks) && n+int64(blocks[i].Length) <= int64(len(raw)) {
				n += int64(blocks[i].Length)
				i++
			}
			bytes = bytes[:n]
			if err := w.store.GetRange(b.Context(), key, bytes, blocks[first].Position); err != nil {
				b.Fatal(err)
			}
			for ; codec == segment.CodecZstd && first < i; first++ {
				if records, err = dec.DecodeAll(bytes[segment.BlockHeaderLen:blocks[first].Length], records[:0]); err != nil {
					b.Fatal(fmt.Errorf("block %d: %w", first, err))
				}
				bytes = bytes[blocks[first].Length:]
			}
		}
	}
	reportCPU(b, start)
}
