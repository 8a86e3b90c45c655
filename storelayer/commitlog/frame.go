package commitlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/stratamq/stratamq/message"
)

// pageSize is the alignment in bytes of frames: a page that was synced is never written again.
const pageSize = 4096

const (
	frameMagic     = 0x464d5153 // "SQMF"
	frameVersion   = 1
	frameHeaderLen = 80
	frameCRCLen    = 4

	// maxFrameLen bounds a frame: one atomic step, its header and its checksum.
	maxFrameLen = frameHeaderLen + MaxBatch + frameCRCLen
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frameHeader begins a frame, which is what one group commit writes and the unit of atomicity.
//
//	0       4         6       8        12           16           24      28
//	┌───────┬─────────┬───────┬────────┬────────────┬────────────┬───────┬───────┐   little-endian;
//	│ magic │ version │ shard │ length │ header crc │ segment id │ epoch │ count │   CRCs are Castagnoli
//	├───────┴─────────┴──┬────┴────────┴──┬─────────┴───────┬────┴───────┴───────┤
//	│ start of epoch  32 │ position    40 │ min store t. 48 │ max store time  56 │
//	├────────────┬───────┴────┬───────────┴─────┬───────────┴────────┬───────────┤
//	│ prev crc 64│ reserved 68│ committed-up 72 │ records         80 │ crc32c    │
//	└────────────┴────────────┴─────────────────┴────────────────────┴───────────┘   zeros to 4 KiB
//
// Length counts header, records and the checksum at the end, which covers all before it; the header's own covers
// the header without itself. Prev is the checksum at the end of the frame before, 0 before the first.
// Committed-up-to is a position: all below it was durable when this frame was written.
type frameHeader struct {
	length     uint32
	shard      message.ShardID
	segment    message.SegmentID
	epoch      message.Epoch
	count      uint32
	epochStart message.Position // of the epoch's first frame
	position   message.Position // of this frame
	minTime    int64            // store times in milliseconds; both 0 without records
	maxTime    int64
	prevCRC    uint32
	committed  message.Position
}

// put writes the header into the first 80 bytes of dst.
func (h *frameHeader) put(dst []byte) {
	le := binary.LittleEndian
	dst = dst[:frameHeaderLen]
	le.PutUint32(dst, frameMagic)
	le.PutUint16(dst[4:], frameVersion)
	le.PutUint16(dst[6:], uint16(h.shard))
	le.PutUint32(dst[8:], h.length)
	le.PutUint64(dst[16:], uint64(h.segment))
	le.PutUint32(dst[24:], uint32(h.epoch))
	le.PutUint32(dst[28:], h.count)
	le.PutUint64(dst[32:], uint64(h.epochStart))
	le.PutUint64(dst[40:], uint64(h.position))
	le.PutUint64(dst[48:], uint64(h.minTime))
	le.PutUint64(dst[56:], uint64(h.maxTime))
	le.PutUint32(dst[64:], h.prevCRC)
	le.PutUint32(dst[68:], 0)
	le.PutUint64(dst[72:], uint64(h.committed))
	le.PutUint32(dst[12:], headerCRC(dst))
}

// headerCRC covers the header without the checksum itself.
func headerCRC(head []byte) uint32 {
	return crc32.Update(crc32.Checksum(head[:12], castagnoli), castagnoli, head[16:frameHeaderLen])
}

// decodeFrameHeader decodes and checks the header alone. It fails with message.ErrCorrupt.
func decodeFrameHeader(src []byte) (frameHeader, error) {
	le := binary.LittleEndian
	if len(src) < frameHeaderLen {
		return frameHeader{}, fmt.Errorf("%w: frame header in %d bytes", message.ErrCorrupt, len(src))
	}
	if m := le.Uint32(src); m != frameMagic {
		return frameHeader{}, fmt.Errorf("%w: frame magic %08x", message.ErrCorrupt, m)
	}
	if got, want := headerCRC(src), le.Uint32(src[12:]); got != want {
		return frameHeader{}, fmt.Errorf("%w: frame header checksum %08x, stored %08x", message.ErrCorrupt, got, want)
	}
	if v := le.Uint16(src[4:]); v != frameVersion {
		return frameHeader{}, fmt.Errorf("%w: frame version %d", message.ErrCorrupt, v)
	}
	h := frameHeader{
		shard:      message.ShardID(le.Uint16(src[6:])),
		length:     le.Uint32(src[8:]),
		segment:    message.SegmentID(le.Uint64(src[16:])),
		epoch:      message.Epoch(le.Uint32(src[24:])),
		count:      le.Uint32(src[28:]),
		epochStart: message.Position(le.Uint64(src[32:])),
		position:   message.Position(le.Uint64(src[40:])),
		minTime:    int64(le.Uint64(src[48:])),
		maxTime:    int64(le.Uint64(src[56:])),
		prevCRC:    le.Uint32(src[64:]),
		committed:  message.Position(le.Uint64(src[72:])),
	}
	if h.length < frameHeaderLen+frameCRCLen || h.length > maxFrameLen || le.Uint32(src[68:]) != 0 ||
		h.position%pageSize != 0 || h.committed > h.position || h.epochStart > h.position ||
		h.count > h.length/message.EnvelopeLen {
		return frameHeader{}, fmt.Errorf("%w: frame header out of bounds: %+v", message.ErrCorrupt, h)
	}
	return h, nil
}

// end is where the next frame begins.
func (h *frameHeader) end() message.Position {
	return h.position + message.Position(pages(int64(h.length)))
}

// decodeFrame decodes and checks the whole frame at the head of src. The records alias src. It
// fails with message.ErrCorrupt.
func decodeFrame(src []byte) (h frameHeader, records []byte, crc uint32, err error) {
	h, err = decodeFrameHeader(src)
	if err != nil {
		return h, nil, 0, err
	}
	if int64(h.length) > int64(len(src)) {
		return h, nil, 0, fmt.Errorf("%w: frame of %d bytes in %d", message.ErrCorrupt, h.length, len(src))
	}
	body := src[:h.length-frameCRCLen]
	crc = binary.LittleEndian.Uint32(src[len(body):])
	if got := crc32.Checksum(body, castagnoli); got != crc {
		return h, nil, 0, fmt.Errorf("%w: frame checksum %08x, stored %08x", message.ErrCorrupt, got, crc)
	}
	return h, body[frameHeaderLen:len(body):len(body)], crc, nil
}

// pages rounds n bytes up to whole pages.
func pages(n int64) int64 { return (n + pageSize - 1) &^ (pageSize - 1) }
