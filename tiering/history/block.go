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
}

func (b *block) cost() int64 { return int64(cap(b.records)) + itemCost }

// decodeBlock verifies the stored bytes of a block.
func decodeBlock(id blockID, place segment.Block, stored []byte) (*block, error) {
	_, records, err := place.Decode(nil, stored)
	if err != nil {
		return nil, err
	}
	return &block{id: id, place: place, records: records}, nil
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

// take appends to dst copies of the messages from an offset on, up to n of them and, beyond the first of dst, maxBytes in
// all. It returns the bytes of the messages it appended.
func (b *block) take(dst []message.Located, offset message.Offset, n, maxBytes int) ([]message.Located, int, error) {
	rest, err := b.from(offset)
	if err != nil {
		return nil, 0, err
	}
	old, total := len(dst), 0
	for i := range min(n, int(b.place.Next()-offset)) {
		r, size, err := message.DecodeRecord(rest)
		if err == nil && (r.Type != message.RecordMessage || r.Topic != b.place.Queue.Topic) {
			err = fmt.Errorf("%w: %v of topic %s", message.ErrCorrupt, r.Type, r.Topic)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("record at offset %d of queue %s: %w", offset+message.Offset(i), b.place.Queue, err)
		}
		if len(dst) > 0 && total+len(r.Body) > maxBytes {
			break
		}
		total += len(r.Body)
		dst = append(dst, message.Located{Queue: b.place.Queue, Offset: offset + message.Offset(i), Stored: r.Body})
		rest = rest[size:]
	}
	// One copy for all: the block is shared, the messages are the caller's.
	slab := make([]byte, 0, total)
	for i := old; i < len(dst); i++ {
		start := len(slab)
		slab = append(slab, dst[i].Stored...)
		dst[i].Stored = slab[start:len(slab):len(slab)]
	}
	return dst, total, nil
}
