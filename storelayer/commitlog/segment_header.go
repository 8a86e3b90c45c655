package commitlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/stratamq/stratamq/message"
)

const (
	segmentMagic     = 0x474d5153 // "SQMG"
	segmentVersion   = 1
	segmentHeaderLen = 48
)

// A segmentHeader begins a segment file and takes its first 4 KiB; it is synced before the first
// frame is written. The file's identity is the id in it, not its name.
//
//	0       4         6       8            16     24        32         36       44       48
//	┌───────┬─────────┬───────┬────────────┬──────┬─────────┬──────────┬────────┬────────┐
//	│ magic │ version │ shard │ segment id │ base │ created │ prev crc │ length │ crc32c │
//	└───────┴─────────┴───────┴────────────┴──────┴─────────┴──────────┴────────┴────────┘
//
// Base is the position of the first frame, at file offset 4096; created is in milliseconds; prev is
// the checksum of the last frame of the segment before; length is the file's, in bytes, so that a
// file that was cut short is recognised. The rest of the page is zeros.
type segmentHeader struct {
	shard   message.ShardID
	id      message.SegmentID
	base    message.Position
	created int64
	prevCRC uint32
	length  int64
}

// page returns the header as a whole page.
func (h *segmentHeader) page() []byte {
	le := binary.LittleEndian
	dst := make([]byte, pageSize)
	le.PutUint32(dst, segmentMagic)
	le.PutUint16(dst[4:], segmentVersion)
	le.PutUint16(dst[6:], uint16(h.shard))
	le.PutUint64(dst[8:], uint64(h.id))
	le.PutUint64(dst[16:], uint64(h.base))
	le.PutUint64(dst[24:], uint64(h.created))
	le.PutUint32(dst[32:], h.prevCRC)
	le.PutUint64(dst[36:], uint64(h.length))
	le.PutUint32(dst[44:], crc32.Checksum(dst[:44], castagnoli))
	return dst
}

// decodeSegmentHeader fails with message.ErrCorrupt.
func decodeSegmentHeader(src []byte) (segmentHeader, error) {
	le := binary.LittleEndian
	if len(src) < segmentHeaderLen {
		return segmentHeader{}, fmt.Errorf("%w: segment header in %d bytes", message.ErrCorrupt, len(src))
	}
	if m := le.Uint32(src); m != segmentMagic {
		return segmentHeader{}, fmt.Errorf("%w: segment magic %08x", message.ErrCorrupt, m)
	}
	if got, want := crc32.Checksum(src[:44], castagnoli), le.Uint32(src[44:]); got != want {
		return segmentHeader{}, fmt.Errorf("%w: segment header checksum %08x, stored %08x", message.ErrCorrupt, got, want)
	}
	if v := le.Uint16(src[4:]); v != segmentVersion {
		return segmentHeader{}, fmt.Errorf("%w: segment version %d", message.ErrCorrupt, v)
	}
	h := segmentHeader{
		shard:   message.ShardID(le.Uint16(src[6:])),
		id:      message.SegmentID(le.Uint64(src[8:])),
		base:    message.Position(le.Uint64(src[16:])),
		created: int64(le.Uint64(src[24:])),
		prevCRC: le.Uint32(src[32:]),
		length:  int64(le.Uint64(src[36:])),
	}
	if h.base%pageSize != 0 || h.length%pageSize != 0 || h.length < pageSize {
		return segmentHeader{}, fmt.Errorf("%w: segment header out of bounds: %+v", message.ErrCorrupt, h)
	}
	return h, nil
}

func (h *segmentHeader) createdAt() time.Time { return time.UnixMilli(h.created).UTC() }
