package segment

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/stratamq/stratamq/message"
)

const (
	directoryMagic     = 0x52494453 // "SDIR"
	directoryVersion   = 1
	directoryHeaderLen = 16

	// The least bytes of a queue and of a block, which bound what a decoder allocates.
	minQueueLen = 8 + 4 + 3
	minBlockLen = 4
)

// Block is where a block lies and what it has.
type Block struct {
	Number   int // from 0, in the object
	Queue    message.Queue
	First    message.Offset
	Count    int   // records
	Position int64 // in the object, in bytes
	Length   int   // bytes, header included
	MinTime  int64 // store times, milliseconds since 1970
	MaxTime  int64
}

// Next returns the offset behind the block's last record.
func (b Block) Next() message.Offset { return b.First + message.Offset(b.Count) }

// Decode verifies that src is this block and appends its records to dst. It fails with [message.ErrCorrupt].
func (b Block) Decode(dst, src []byte) (BlockHeader, []byte, error) {
	h, records, err := DecodeBlock(dst, src)
	if err != nil {
		return BlockHeader{}, nil, err
	}
	return h, records, b.is(h, src)
}

// Open verifies that src is this block. If its records are not compressed it returns them as a part of src, without a
// copy; else it is not open, and has to be decoded. It fails with [message.ErrCorrupt].
func (b Block) Open(src []byte) (records []byte, open bool, err error) {
	if h, err := DecodeBlockHeader(src); err != nil || h.Codec != CodecNone {
		return nil, false, err
	}
	h, stored, err := verifyBlock(src)
	if err == nil {
		err = b.is(h, src)
	}
	if err == nil && len(stored) != h.RawLen {
		err = fmt.Errorf("%w: %d bytes of records that are not compressed, the header says %d", message.ErrCorrupt, len(stored), h.RawLen)
	}
	return stored, err == nil, err
}

// is checks that a block that is good in itself is the one that the directory means.
func (b Block) is(h BlockHeader, src []byte) error {
	if h.Queue != b.Queue || h.First != b.First || h.Count != b.Count || len(src) != b.Length {
		return fmt.Errorf("%w: block of %s from %d with %d records where the directory has %s from %d with %d",
			message.ErrCorrupt, h.Queue, h.First, h.Count, b.Queue, b.First, b.Count)
	}
	return nil
}

// QueueRange is what an object has of one queue.
type QueueRange struct {
	Queue      message.Queue
	First      message.Offset
	Count      int // records
	FirstBlock int // number of its first block
	Blocks     int // how many blocks it has, one behind the other
	Column     Column
}

// Next returns the offset behind the queue's last record in the object.
func (q QueueRange) Next() message.Offset { return q.First + message.Offset(q.Count) }

// Directory finds the blocks of a queue.
//
//	0       4         5          8        12       16
//	┌───────┬─────────┬──────────┬────────┬────────┬──────────────────────┐
//	│ magic │ version │ reserved │ queues │ blocks │ a part for each queue│
//	└───────┴─────────┴──────────┴────────┴────────┴──────────────────────┘
//
// A queue's part, in order of topic id and queue, all numbers behind the first two being varints:
//
//	topic id u64, queue u32, first offset, number of blocks, time of the first record (signed), then for each block
//	records, length in bytes, min store time − max of the block before, max store time − min
//
// What follows from the rest is not stored: blocks lie one behind the other from position 0, columns behind the blocks, and
// offsets have no holes.
type Directory struct {
	queues []QueueRange // sorted
	blocks []Block      // by number
}

// appendTo appends the directory's bytes.
func (d *Directory) appendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, directoryMagic)
	dst = append(dst, directoryVersion, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(d.queues)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(d.blocks)))
	for _, q := range d.queues {
		blocks := d.BlocksOf(q)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.Queue.Topic))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(q.Queue.ID))
		dst = binary.AppendUvarint(dst, uint64(q.First))
		dst = binary.AppendUvarint(dst, uint64(len(blocks)))
		dst = binary.AppendVarint(dst, blocks[0].MinTime)
		last := blocks[0].MinTime
		for _, b := range blocks {
			dst = binary.AppendUvarint(dst, uint64(b.Count))
			dst = binary.AppendUvarint(dst, uint64(b.Length))
			dst = binary.AppendUvarint(dst, uint64(b.MinTime-last))
			dst = binary.AppendUvarint(dst, uint64(b.MaxTime-b.MinTime))
			last = b.MaxTime
		}
	}
	return dst
}

// DecodeDirectory decodes a whole directory; its checksum is in the trailer. It fails with [message.ErrCorrupt].
func DecodeDirectory(src []byte) (*Directory, error) {
	if len(src) < directoryHeaderLen || binary.LittleEndian.Uint32(src) != directoryMagic || src[4] != directoryVersion {
		return nil, fmt.Errorf("%w: no directory in %d bytes", message.ErrCorrupt, len(src))
	}
	queues, blocks := binary.LittleEndian.Uint32(src[8:]), binary.LittleEndian.Uint32(src[12:])
	if uint64(queues)*minQueueLen+uint64(blocks)*minBlockLen > uint64(len(src)) {
		return nil, fmt.Errorf("%w: directory of %d queues and %d blocks in %d bytes", message.ErrCorrupt, queues, blocks, len(src))
	}
	d := &Directory{queues: make([]QueueRange, 0, queues), blocks: make([]Block, 0, blocks)}
	r := varintReader{src: src[directoryHeaderLen:]}
	for range queues {
		if err := d.decodeQueue(&r, int(blocks)); err != nil {
			return nil, err
		}
	}
	if len(r.src) != 0 || len(d.blocks) != int(blocks) {
		return nil, fmt.Errorf("%w: directory with %d of %d blocks and %d bytes behind them", message.ErrCorrupt, len(d.blocks), blocks, len(r.src))
	}
	d.placeColumns()
	return d, nil
}

func (d *Directory) decodeQueue(r *varintReader, blocks int) error {
	queue := message.Queue{Topic: message.TopicID(r.fixed64()), ID: message.QueueID(r.fixed32())}
	first, n, last := message.Offset(r.uvarint(maxOffset)), int(r.uvarint(uint64(blocks-len(d.blocks)))), r.varint()
	if r.bad || n == 0 || len(d.queues) > 0 && compareQueues(d.queues[len(d.queues)-1].Queue, queue) >= 0 {
		return fmt.Errorf("%w: queue %s of directory", message.ErrCorrupt, queue)
	}
	q := QueueRange{Queue: queue, First: first, FirstBlock: len(d.blocks), Blocks: n}
	for range n {
		b := Block{Number: len(d.blocks), Queue: queue, First: q.Next(), Position: d.end()}
		b.Count, b.Length = int(r.uvarint(maxRawLen)), int(r.uvarint(BlockHeaderLen+maxRawLen))
		b.MinTime = last + int64(r.uvarint(maxSpan))
		b.MaxTime = b.MinTime + int64(r.uvarint(maxSpan))
		if r.bad || b.Count == 0 || b.Length <= BlockHeaderLen || b.MinTime < last || b.MaxTime < b.MinTime {
			return fmt.Errorf("%w: block %d of directory", message.ErrCorrupt, b.Number)
		}
		last = b.MaxTime
		q.Count += b.Count
		d.blocks = append(d.blocks, b)
	}
	d.queues = append(d.queues, q)
	return nil
}

// Bounds that keep sums from overflowing.
const (
	maxOffset = 1 << 62
	maxSpan   = 1 << 60 // milliseconds
)

// end returns the position behind the last block so far.
func (d *Directory) end() int64 {
	if len(d.blocks) == 0 {
		return 0
	}
	last := d.blocks[len(d.blocks)-1]
	return last.Position + int64(last.Length)
}

// placeColumns computes where the columns lie, and returns the end of the last one.
func (d *Directory) placeColumns() int64 {
	position := d.end()
	for i := range d.queues {
		d.queues[i].Column = Column{Position: position, Count: d.queues[i].Count}
		position += d.queues[i].Column.Len()
	}
	return position
}

// Queues yields the queues in order of topic id and queue.
func (d *Directory) Queues() iter.Seq[QueueRange] { return slices.Values(d.queues) }

// Blocks yields all blocks, in order of their numbers and positions.
func (d *Directory) Blocks() iter.Seq[Block] { return slices.Values(d.blocks) }

// NumQueues returns how many queues the object has records of.
func (d *Directory) NumQueues() int { return len(d.queues) }

// NumBlocks returns how many blocks the object has.
func (d *Directory) NumBlocks() int { return len(d.blocks) }

// Block returns the block with that number, as a posting names it.
func (d *Directory) Block(number int) (Block, bool) {
	if number < 0 || number >= len(d.blocks) {
		return Block{}, false
	}
	return d.blocks[number], true
}

// BlocksOf returns the blocks of a queue. The slice belongs to the directory.
func (d *Directory) BlocksOf(q QueueRange) []Block {
	return d.blocks[q.FirstBlock : q.FirstBlock+q.Blocks : q.FirstBlock+q.Blocks]
}

// Find returns what the object has of a queue.
func (d *Directory) Find(queue message.Queue) (QueueRange, bool) {
	i, ok := slices.BinarySearchFunc(d.queues, queue, func(q QueueRange, want message.Queue) int { return compareQueues(q.Queue, want) })
	if !ok {
		return QueueRange{}, false
	}
	return d.queues[i], true
}

// BlockAt returns the block of the queue that has the offset.
func (d *Directory) BlockAt(queue message.Queue, offset message.Offset) (Block, bool) {
	q, ok := d.Find(queue)
	if !ok || offset < q.First || offset >= q.Next() {
		return Block{}, false
	}
	blocks := d.BlocksOf(q)
	return blocks[sort.Search(len(blocks), func(i int) bool { return blocks[i].Next() > offset })], true
}

// BlockAtTime returns the first block of the queue with a record stored at time or later. Store times never go back, so
// the first such record is in this block.
func (d *Directory) BlockAtTime(queue message.Queue, time int64) (Block, bool) {
	q, ok := d.Find(queue)
	if !ok {
		return Block{}, false
	}
	blocks := d.BlocksOf(q)
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].MaxTime >= time })
	if i == len(blocks) {
		return Block{}, false
	}
	return blocks[i], true
}

func compareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}

// varintReader reads numbers until one is bad; then all are 0.
type varintReader struct {
	src []byte
	bad bool
}

func (r *varintReader) take(n int) {
	if n <= 0 || n > len(r.src) {
		r.bad, r.src = true, nil
		return
	}
	r.src = r.src[n:]
}

// uvarint reads a number of at most limit.
func (r *varintReader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.src)
	r.take(n)
	if v > limit {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return v
}

func (r *varintReader) varint() int64 {
	v, n := binary.Varint(r.src)
	r.take(n)
	if v < -maxSpan || v > maxSpan {
		r.bad = true
	}
	if r.bad {
		return 0
	}
	return v
}

func (r *varintReader) fixed64() uint64 {
	if len(r.src) < 8 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(r.src)
	r.take(8)
	return v
}

func (r *varintReader) fixed32() uint32 {
	if len(r.src) < 4 {
		r.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint32(r.src)
	r.take(4)
	return v
}
