package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering/segment"
)

// ObjectIndex finds the posting pages of one object.
type ObjectIndex struct {
	Object   int   // its number among the entry's objects
	Postings int64 // where the posting pages begin in the object, in bytes
	MinTime  int64 // store times of the object, milliseconds since 1970
	MaxTime  int64
	Fences   []segment.Fence // one behind the other; those of one object may be split over parts
}

// IndexValue is the index value of a sealed segment, or a part of one. Behind the header every object with fences is
// varints:
//
//	object, postings, min time − header's time, max time − min time, number of fences, position of the first,
//	then for each fence: (first hash − that of the fence before) / 2^8, length
//
// The low 8 bits of a posting's hash are zero. Pages lie one behind the other, so only the first has its position.
type IndexValue struct {
	ValueHeader

	Objects []ObjectIndex
}

const (
	hashShift         = 8
	minObjectIndexLen = 6
	maxFenceLen       = 10 + 5 // bytes, encoded
)

// EncodeIndex packs the fences of a segment's objects into as many values as their bound needs; at least one. It is
// given the header without what follows from them.
func EncodeIndex(h ValueHeader, objects []ObjectIndex) ([][]byte, error) {
	if err := checkIndex(objects); err != nil {
		return nil, err
	}
	for i, o := range objects {
		if i == 0 || o.MinTime < h.Time {
			h.Time = o.MinTime
		}
	}
	var parts [][]byte
	var counts []int
	part, count := make([]byte, valueHeaderLen), 0
	for _, o := range objects {
		for fences := o.Fences; len(fences) > 0; {
			room := (meta.MaxDataLen - len(part) - 64) / maxFenceLen
			if room <= 0 {
				parts, counts = append(parts, part), append(counts, count)
				part, count = make([]byte, valueHeaderLen), 0
				continue
			}
			n := min(room, len(fences))
			part = o.appendTo(part, fences[:n], h.Time)
			fences = fences[n:]
			count++
		}
	}
	parts, counts = append(parts, part), append(counts, count)
	return withHeaders(h, indexValueMagic, parts, counts)
}

func checkIndex(objects []ObjectIndex) error {
	for i, o := range objects {
		bad := i > 0 && o.Object <= objects[i-1].Object || o.Object < 0 || o.Postings < 0 || o.MaxTime < o.MinTime ||
			o.MinTime < -maxTime || o.MaxTime > maxTime
		for j, f := range o.Fences {
			bad = bad || f.First&(1<<hashShift-1) != 0 || j > 0 && f.First < o.Fences[j-1].First
			bad = bad || j > 0 && f.Position != o.Fences[j-1].Position+o.Fences[j-1].Length
		}
		if bad {
			return fmt.Errorf("%w: fences of object %d", errUnordered, o.Object)
		}
	}
	return nil
}

func (o ObjectIndex) appendTo(dst []byte, fences []segment.Fence, time int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(o.Object))
	dst = binary.AppendUvarint(dst, uint64(o.Postings))
	dst = binary.AppendUvarint(dst, uint64(o.MinTime-time))
	dst = binary.AppendUvarint(dst, uint64(o.MaxTime-o.MinTime))
	dst = binary.AppendUvarint(dst, uint64(len(fences)))
	dst = binary.AppendUvarint(dst, uint64(fences[0].Position))
	last := uint64(0)
	for _, f := range fences {
		dst = binary.AppendUvarint(dst, (f.First-last)>>hashShift)
		dst = binary.AppendUvarint(dst, uint64(f.Length))
		last = f.First
	}
	return dst
}

// DecodeIndexValue decodes the whole of src. It fails with [message.ErrCorrupt].
func DecodeIndexValue(src []byte) (IndexValue, error) {
	h, err := decodeValueHeader(src, indexValueMagic, minObjectIndexLen)
	if err != nil {
		return IndexValue{}, err
	}
	v := IndexValue{ValueHeader: h}
	r := varints{src: src[valueHeaderLen:]}
	for range h.Count {
		o := ObjectIndex{Object: int(r.next(1 << 16)), Postings: int64(r.next(1 << 62))}
		o.MinTime = h.Time + int64(r.next(maxTime))
		o.MaxTime = o.MinTime + int64(r.next(maxTime))
		n, position := r.next(uint64(len(r.src)/2)), r.next(1<<32-1)
		if r.bad || n == 0 || o.MinTime > maxTime || o.MaxTime > maxTime {
			return IndexValue{}, fmt.Errorf("%w: object %d of an index value", message.ErrCorrupt, len(v.Objects))
		}
		o.Fences = make([]segment.Fence, 0, n)
		last := uint64(0)
		for range n {
			delta := r.next(1<<(64-hashShift)-1) << hashShift
			f := segment.Fence{First: last + delta, Position: uint32(position), Length: uint32(r.next(1<<32 - 1))}
			position += uint64(f.Length)
			if r.bad || f.First < last || position > 1<<32-1 {
				return IndexValue{}, fmt.Errorf("%w: fence %d of an index value", message.ErrCorrupt, len(o.Fences))
			}
			last = f.First
			o.Fences = append(o.Fences, f)
		}
		v.Objects = append(v.Objects, o)
	}
	if len(r.src) != 0 {
		return IndexValue{}, fmt.Errorf("%w: %d bytes behind an index value", message.ErrCorrupt, len(r.src))
	}
	return v, nil
}
