package group

import (
	"encoding/binary"

	"github.com/stratamq/stratamq/message"
)

// The rest of a visibility record, little-endian, n items:
//
//	0       4
//	┌───────┬───────┐   item: offset i64, epoch u32, lease u64, deadline i64, attempt u16, flags u8 (1: uncounted)
//	│ count │ items │   count = n
//	│ u32   │       │
//	└───────┴───────┘
const (
	visibilityFixedLen  = 4
	visibilityItemLen   = 31
	visibilityUncounted = 1 << 0
)

// visibilityView is a decoded visibility record whose name aliases it; decoding into one reuses its items.
type visibilityView struct {
	head
	items []VisibilityItem
}

// AppendTo appends the record's body.
func (r VisibilityRecord) AppendTo(dst []byte) []byte {
	dst = appendHead(dst, r.Key, r.Queue.ID)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Items)))
	for _, it := range r.Items {
		flags := byte(0)
		if it.Uncounted {
			flags = visibilityUncounted
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(it.Offset))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(it.Epoch))
		dst = binary.LittleEndian.AppendUint64(dst, it.Lease)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(it.Deadline))
		dst = binary.LittleEndian.AppendUint16(dst, it.Attempt)
		dst = append(dst, flags)
	}
	return dst
}

// DecodeVisibility decodes a visibility record; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeVisibility(rec message.Record) (VisibilityRecord, error) {
	var v visibilityView
	if err := v.decode(rec); err != nil {
		return VisibilityRecord{}, err
	}
	return VisibilityRecord{Key: v.key(), Queue: v.queue, Items: v.items}, nil
}

func (v *visibilityView) decode(rec message.Record) error {
	h, b, err := decodeHead(rec)
	if err != nil {
		return err
	}
	if len(b) < visibilityFixedLen ||
		uint64(len(b)) != visibilityFixedLen+visibilityItemLen*uint64(binary.LittleEndian.Uint32(b)) {
		return corruptRest(rec, len(b))
	}
	v.head, v.items = h, v.items[:0]
	for b = b[visibilityFixedLen:]; len(b) > 0; b = b[visibilityItemLen:] {
		it := VisibilityItem{
			Offset:    message.Offset(binary.LittleEndian.Uint64(b)),
			Epoch:     message.Epoch(binary.LittleEndian.Uint32(b[8:])),
			Lease:     binary.LittleEndian.Uint64(b[12:]),
			Deadline:  int64(binary.LittleEndian.Uint64(b[20:])),
			Attempt:   binary.LittleEndian.Uint16(b[28:]),
			Uncounted: b[30]&visibilityUncounted != 0,
		}
		if it.Offset < 0 || it.Offset > maxOffset || b[30]&^visibilityUncounted != 0 {
			return corruptRest(rec, len(b))
		}
		v.items = append(v.items, it)
	}
	return nil
}
