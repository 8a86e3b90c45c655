package history

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/segment"
)

// blockID names a block of a sealed object.
type blockID struct {
	object objectID
	number int
}

// hash is the block's key in ristretto, which knows no structs. What is found is compared with the whole id.
func (id blockID) hash() uint64 {
	var b [26]byte
	binary.LittleEndian.PutUint16(b[:], uint16(id.object.shard))
	binary.LittleEndian.PutUint64(b[2:], id.object.sequence)
	binary.LittleEndian.PutUint64(b[10:], uint64(id.object.number))
	binary.LittleEndian.PutUint64(b[18:], uint64(id.number))
	return xxhash.Sum64(b[:])
}

// block is a decoded block. It is shared and does not change.
type block struct {
	id      blockID
	place   segment.Block
	records []byte
	within  *window // whose bytes the records are; nil if the block has its own
	pins    int64   // bytes that are kept in memory as long as the block is
}

func (b *block) cost() int64 { return b.pins + itemCost }

// loose reports whether the block may be kept for long: it is not a small part of a range that it would keep as well.
func (b *block) loose() bool { return b.pins <= 2*int64(len(b.records)) }

// decodeBlock verifies a block of a window. One that is not compressed stays a part of it.
func decodeBlock(id blockID, place segment.Block, w *window) (*block, error) {
	stored := w.stored(place)
	records, open, err := place.Open(stored)
	if err != nil {
		return nil, err
	}
	if open {
		return &block{id: id, place: place, records: records, within: w, pins: int64(len(w.raw))}, nil
	}
	if _, records, err = place.Decode(nil, stored); err != nil {
		return nil, err
	}
	return &block{id: id, place: place, records: records, pins: int64(cap(records))}, nil
}

// from returns the records from an offset of the block on.
func (b *block) from(offset message.Offset) ([]byte, error) {
	rest := b.records
	for range offset - b.place.First {
		n, err := recordLen(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[n:]
	}
	return rest, nil
}

// recordLen returns the whole length of the record at the head of src.
func recordLen(src []byte) (int, error) {
	_, n, err := message.DecodeRecord(src)
	return n, err
}

// take appends to dst the messages from an offset on, up to n of them and, beyond the first of dst, maxBytes in all. They
// are parts of the block, and one behind the other in region, envelopes included.
func (b *block) take(dst []message.Located, offset message.Offset, n, maxBytes int) (got []message.Located, region []byte, err error) {
	rest, err := b.from(offset)
	if err != nil {
		return nil, nil, err
	}
	total, end := 0, 0
	for i := range min(n, int(b.place.Next()-offset)) {
		r, size, err := message.DecodeRecord(rest[end:])
		if err == nil && (r.Type != message.RecordMessage || r.Topic != b.place.Queue.Topic) {
			err = fmt.Errorf("%w: %v of topic %s", message.ErrCorrupt, r.Type, r.Topic)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("record at offset %d of queue %s: %w", offset+message.Offset(i), b.place.Queue, err)
		}
		if len(dst) > 0 && total+len(r.Body) > maxBytes {
			break
		}
		total += len(r.Body)
		end += size
		dst = append(dst, message.Located{Queue: b.place.Queue, Offset: offset + message.Offset(i), Stored: r.Body})
	}
	return dst, rest[:end], nil
}
