package queue

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/stratamq/stratamq/message"
)

// A segment's file holds the entries of its messages by queue, and its index; little-endian:
//
//	0       4         6          8      16       20        28         36
//	┌───────┬─────────┬──────────┬──────┬────────┬─────────┬──────────┬───────────┬─────────┬─────────┬──────────┬────────┐
//	│ magic │ version │ reserved │ base │ queues │ entries │ postings │ directory │ entries │ buckets │ postings │ crc32c │
//	│ SQCQ  │ u16 = 1 │ u16      │ u64  │ u32    │ u64     │ u64      │           │         │         │          │ u32    │
//	└───────┴─────────┴──────────┴──────┴────────┴─────────┴──────────┴───────────┴─────────┴─────────┴──────────┴────────┘
//	base: the position at which the segment starts
//	directory: per queue, by topic and number, {topic u64, queue u32, count u32, first offset i64, first entry u64}
//	entries: the 24 bytes of message.Entry each, by queue and offset
//	buckets: 1,025 × u32, where the postings of each bucket begin, and their end
//	postings: {hash u64, distance of the record from base u32}, by hash and distance
//	crc32c: of everything before it
const (
	fileMagic   = "SQCQ"
	fileVersion = 1
	fileHeadLen = 36
	dirLen      = 32
	bucketsLen  = (buckets + 1) * 4
	crcLen      = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Builder collects the messages of one segment, to make its file from the frames.
type Builder struct {
	base   message.Position
	queues map[message.Queue]*built
	index  *postings
}

// built is a queue's part of a segment.
type built struct {
	first   message.Offset
	entries *slabs
}

// NewBuilder returns an empty builder for the segment that starts at base.
func NewBuilder(base message.Position) *Builder {
	return &Builder{base: base, queues: make(map[message.Queue]*built), index: &postings{}}
}

// Add adds a message, in log order, with its index keys. A hole in a queue or a position outside of the
// segment is message.ErrCorrupt.
func (b *Builder) Add(q message.Queue, offset message.Offset, e message.Entry, hashes []uint64) error {
	distance, err := distanceOf(b.base, e.Position)
	if err != nil {
		return err
	}
	part := b.queues[q]
	if part == nil {
		part = &built{first: offset, entries: &slabs{}}
		b.queues[q] = part
	}
	if next := part.first + message.Offset(part.entries.count); offset != next {
		return fmt.Errorf("%w: offset %d of queue %s follows %d", message.ErrCorrupt, offset, q, next-1)
	}
	part.entries.append(e)
	for _, hash := range hashes {
		b.index.add(hash, distance)
	}
	return nil
}

func distanceOf(base, p message.Position) (uint32, error) {
	if p < base || p-base > math.MaxUint32 {
		return 0, fmt.Errorf("%w: position %s is outside of the segment at %s", message.ErrCorrupt, p, base)
	}
	return uint32(p - base), nil
}

// WriteTo writes the segment's file and returns its length.
func (b *Builder) WriteTo(w io.Writer) (int64, error) {
	out := &checksumWriter{w: bufio.NewWriterSize(w, 256<<10)}
	queues := make([]message.Queue, 0, len(b.queues))
	total := uint64(0)
	for q, part := range b.queues {
		queues = append(queues, q)
		total += uint64(part.entries.count)
	}
	slices.SortFunc(queues, compareQueues)

	b.index.mu.RLock()
	defer b.index.mu.RUnlock()
	buf := make([]byte, 0, bucketsLen)
	buf = append(buf, fileMagic...)
	buf = binary.LittleEndian.AppendUint16(buf, fileVersion)
	buf = binary.LittleEndian.AppendUint16(buf, 0)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(b.base))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(queues)))
	buf = binary.LittleEndian.AppendUint64(buf, total)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(b.index.count))
	out.write(buf)

	index := uint64(0)
	for _, q := range queues {
		part := b.queues[q]
		buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(q.Topic))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(q.ID))
		buf = binary.LittleEndian.AppendUint32(buf, part.entries.count)
		buf = binary.LittleEndian.AppendUint64(buf, uint64(part.first))
		buf = binary.LittleEndian.AppendUint64(buf, index)
		out.write(buf)
		index += uint64(part.entries.count)
	}
	for _, q := range queues {
		for _, slab := range b.queues[q].entries.parts {
			out.write(slab)
		}
	}
	b.index.writeTo(out, buf)
	out.write(binary.LittleEndian.AppendUint32(buf[:0], out.sum))
	if out.err == nil {
		out.err = out.w.Flush()
	}
	return out.n, out.err
}

// writeTo writes the buckets and the postings of each, sorted; p.mu is held.
func (p *postings) writeTo(out *checksumWriter, buf []byte) {
	at := uint32(0)
	buf = binary.LittleEndian.AppendUint32(buf[:0], at)
	for _, bucket := range p.buckets {
		at += uint32(len(bucket) / postingLen)
		buf = binary.LittleEndian.AppendUint32(buf, at)
	}
	out.write(buf)
	type posting struct {
		hash     uint64
		distance uint32
	}
	var sorted []posting
	for _, bucket := range p.buckets {
		sorted = sorted[:0]
		for i := 0; i < len(bucket); i += postingLen {
			sorted = append(sorted, posting{binary.LittleEndian.Uint64(bucket[i:]), binary.LittleEndian.Uint32(bucket[i+8:])})
		}
		slices.SortFunc(sorted, func(a, b posting) int {
			return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.distance, b.distance))
		})
		buf = buf[:0]
		for _, s := range sorted {
			buf = binary.LittleEndian.AppendUint64(buf, s.hash)
			buf = binary.LittleEndian.AppendUint32(buf, s.distance)
		}
		out.write(buf)
	}
}

// checksumWriter keeps the first error, the length and the CRC-32C of what it wrote.
type checksumWriter struct {
	w   *bufio.Writer
	n   int64
	sum uint32
	err error
}

func (c *checksumWriter) write(b []byte) {
	if c.err != nil {
		return
	}
	c.sum = crc32.Update(c.sum, castagnoli, b)
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
}

func compareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}
