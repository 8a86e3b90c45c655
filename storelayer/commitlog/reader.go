package commitlog

import (
	"errors"
	"fmt"
	"io"

	"github.com/stratamq/stratamq/message"
)

// readStep is how many bytes a frame reader asks for at once.
const readStep = 1 << 20

// frameReader reads the frames of one segment in order, by pread.
type frameReader struct {
	seg   *segment
	limit int64 // file offset where reading ends
	buf   []byte
	start int64 // file offset of buf
}

// window returns the bytes [off, off+n), fewer where the limit cuts them. They are valid until the next call.
func (r *frameReader) window(off, n int64) ([]byte, error) {
	n = min(n, r.limit-off)
	if n <= 0 {
		return nil, nil
	}
	if off >= r.start && off+n <= r.start+int64(len(r.buf)) {
		return r.buf[off-r.start:][:n], nil
	}
	ask := min(max(n, readStep), r.limit-off)
	if int64(cap(r.buf)) < ask {
		r.buf = make([]byte, ask)
	}
	r.buf = r.buf[:ask]
	r.start = off
	read, err := r.seg.file.ReadAt(r.buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		r.buf = r.buf[:0]
		return nil, fmt.Errorf("read segment %s at offset %d: %w", r.seg.path, off, err)
	}
	r.buf = r.buf[:read]
	return r.buf[:min(n, int64(read))], nil
}

// header decodes the header of the frame at position p. It fails with message.ErrCorrupt, or as the disk does.
func (r *frameReader) header(p message.Position) (frameHeader, error) {
	head, err := r.window(r.seg.offset(p), frameHeaderLen)
	if err != nil {
		return frameHeader{}, err
	}
	h, err := decodeFrameHeader(head)
	if err != nil {
		return frameHeader{}, err
	}
	return h, r.belongs(&h, p)
}

// belongs checks that a header that is good in itself was written to this place.
func (r *frameReader) belongs(h *frameHeader, p message.Position) error {
	if h.segment != r.seg.header.id || h.shard != r.seg.header.shard || h.position != p {
		return fmt.Errorf("%w: frame of segment %s, shard %s, position %d at position %d of segment %s",
			message.ErrCorrupt, h.segment, h.shard, uint64(h.position), uint64(p), r.seg.header.id)
	}
	return nil
}

// frame reads and checks the whole frame at position p. The records are valid until the next call.
func (r *frameReader) frame(p message.Position) (frameHeader, []byte, uint32, error) {
	h, err := r.header(p)
	if err != nil {
		return h, nil, 0, err
	}
	whole, err := r.window(r.seg.offset(p), int64(h.length))
	if err != nil {
		return h, nil, 0, err
	}
	return decodeFrame(whole)
}

// chain is what each frame must follow.
type chain struct {
	next       message.Position
	crc        uint32 // of the last frame, or as the segment's header says
	committed  message.Position
	epoch      message.Epoch // 0: not known yet
	epochStart message.Position
	maxTime    int64
}

// check says whether a frame that is good in itself follows the one before.
func (c *chain) check(h *frameHeader) error {
	bad := func(what string, got, want uint64) error {
		return fmt.Errorf("%w: broken chain: %s is %d after %d", message.ErrCorrupt, what, got, want)
	}
	switch {
	case h.prevCRC != c.crc:
		return bad("checksum of the frame before", uint64(h.prevCRC), uint64(c.crc))
	case h.committed < c.committed:
		return bad("committed-up-to", uint64(h.committed), uint64(c.committed))
	case h.count > 0 && (h.minTime < c.maxTime || h.maxTime < h.minTime):
		return bad("store time", uint64(h.minTime), uint64(c.maxTime))
	case c.epoch == 0: // the first frame that we see
	case h.epoch < c.epoch:
		return bad("epoch", uint64(h.epoch), uint64(c.epoch))
	case h.epoch == c.epoch && h.epochStart != c.epochStart:
		return bad("start of epoch", uint64(h.epochStart), uint64(c.epochStart))
	case h.epoch > c.epoch && h.epochStart != h.position:
		return bad("start of epoch", uint64(h.epochStart), uint64(h.position))
	}
	return nil
}

func (c *chain) advance(h *frameHeader, crc uint32) {
	c.next, c.crc, c.committed = h.end(), crc, h.committed
	c.epoch, c.epochStart = h.epoch, h.epochStart
	c.maxTime = max(c.maxTime, h.maxTime)
}

func frameOf(h *frameHeader, records []byte, crc uint32, segment message.Position) Frame {
	return Frame{
		Position: h.position, End: h.end(), Segment: segment, Epoch: h.epoch, CRC: crc, Count: int(h.count),
		Records: records, StoreTime: h.maxTime,
	}
}
