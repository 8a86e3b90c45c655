package segment

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/stratamq/stratamq/message"
)

// Codec says how the records of a block are compressed. The numbers are part of the format.
type Codec uint8

// The codecs.
const (
	CodecNone Codec = 0
	CodecS2   Codec = 1
	CodecZstd Codec = 2
	codecEnd  Codec = 3
)

var codecNames = [...]string{"none", "s2", "zstd"}

// String returns the codec's name in settings.
func (c Codec) String() string {
	if c < codecEnd {
		return codecNames[c]
	}
	return fmt.Sprintf("codec-%d", uint8(c))
}

// ParseCodec is the inverse of String.
func ParseCodec(name string) (Codec, error) {
	for c, known := range codecNames {
		if known == name {
			return Codec(c), nil
		}
	}
	return 0, fmt.Errorf("no codec %q; there are none, s2 and zstd", name)
}

// compressor belongs to one writer and reuses what it allocates.
type compressor struct {
	codec Codec
	zstd  *zstd.Encoder
	buf   []byte
}

func newCompressor(codec Codec) (*compressor, error) {
	c := &compressor{codec: codec}
	switch codec {
	case CodecNone, CodecS2:
		return c, nil
	case CodecZstd:
		// Blocks have their own checksum, and none is larger than a window has to be.
		enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, fmt.Errorf("make zstd encoder: %w", err)
		}
		c.zstd = enc
		return c, nil
	default:
		return nil, fmt.Errorf("unknown %v", codec)
	}
}

// compress returns what is stored for raw and how; the result is good until the next call. Bytes that do not shrink are
// stored as they are, so that reading them costs nothing.
func (c *compressor) compress(raw []byte) ([]byte, Codec) {
	switch c.codec {
	case CodecNone:
		return raw, CodecNone
	case CodecS2:
		if need := s2.MaxEncodedLen(len(raw)); cap(c.buf) < need {
			c.buf = make([]byte, need)
		}
		c.buf = s2.Encode(c.buf[:cap(c.buf)], raw)
	case CodecZstd:
		c.buf = c.zstd.EncodeAll(raw, c.buf[:0])
	case codecEnd:
	}
	if len(c.buf) >= len(raw) {
		return raw, CodecNone
	}
	return c.buf, c.codec
}

// decoder is shared by all readers: its DecodeAll may be called from many goroutines.
var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxRawLen), zstd.WithDecoderLowmem(true))
})

// decompress appends exactly n bytes to dst, or fails with ErrCorrupt. N is at most maxRawLen.
func decompress(dst, stored []byte, codec Codec, n int) ([]byte, error) {
	have := len(dst)
	switch codec {
	case CodecNone:
		dst = append(dst, stored...)
	case CodecS2:
		if size, err := s2.DecodedLen(stored); err != nil || size != n {
			return nil, fmt.Errorf("%w: s2 block of %d bytes, header says %d", message.ErrCorrupt, size, n)
		}
		dst = append(dst, make([]byte, n)...)
		if _, err := s2.Decode(dst[have:], stored); err != nil {
			return nil, fmt.Errorf("%w: %w", message.ErrCorrupt, err)
		}
	case CodecZstd:
		dec, err := decoder()
		if err != nil {
			return nil, fmt.Errorf("make zstd decoder: %w", err)
		}
		if dst, err = dec.DecodeAll(stored, dst); err != nil {
			return nil, fmt.Errorf("%w: %w", message.ErrCorrupt, err)
		}
	default:
		return nil, fmt.Errorf("%w: unknown %v", message.ErrCorrupt, codec)
	}
	if len(dst)-have != n {
		return nil, fmt.Errorf("%w: block decodes to %d bytes, header says %d", message.ErrCorrupt, len(dst)-have, n)
	}
	return dst, nil
}
