package segment

import (
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// countingWriter takes all bytes.
type countingWriter struct{ n int64 }

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	return len(b), nil
}

var _ io.Writer = (*countingWriter)(nil)

// BenchmarkSeal writes objects of 64 queues of JSON. Its goal is at most 1.5 times what BenchmarkZstd takes on the same
// bytes.
func BenchmarkSeal(b *testing.B) {
	rows := manyRows(64<<10, 64, 1000)
	for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
		b.Run("codec="+codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst := &countingWriter{}
				w, err := NewWriter(dst, testConfig(codec, 0))
				if err != nil {
					b.Fatal(err)
				}
				for i := range rows {
					r := &rows[i]
					if err := w.Add(r.queue, r.offset, r.time, r.entry, r.keys, r.record); err != nil {
						b.Fatal(err)
					}
				}
				sealed, err := w.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(sealed.Trailer.RawBytes))
				b.ReportMetric(float64(dst.n)/float64(sealed.Trailer.RawBytes), "stored/raw")
			}
		})
	}
}

// BenchmarkZstd compresses the records of BenchmarkSeal in blocks of the same size, and does nothing else.
func BenchmarkZstd(b *testing.B) {
	var all []byte
	for _, r := range manyRows(64<<10, 64, 1000) {
		all = append(all, r.record...)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(all)))
	var buf []byte
	for b.Loop() {
		for off := 0; off < len(all); off += DefaultBlockSize {
			buf = enc.EncodeAll(all[off:min(len(all), off+DefaultBlockSize)], buf[:0])
		}
	}
}

// BenchmarkDecodeBlock is what a cold read takes per block.
func BenchmarkDecodeBlock(b *testing.B) {
	for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
		object, sealed := write(b, testConfig(codec, 0), manyRows(256, 1, 1000))
		block, _ := sealed.Directory.Block(0)
		stored := object[block.Position : block.Position+int64(block.Length)]
		b.Run("codec="+codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				h, records, err := DecodeBlock(dst[:0], stored)
				if err != nil {
					b.Fatal(err)
				}
				dst = records
				b.SetBytes(int64(h.RawLen))
			}
		})
	}
}
