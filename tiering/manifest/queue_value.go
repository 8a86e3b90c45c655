package manifest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// errUnordered says that runs or fences were not sorted, or do not fit their codec: a bug of whoever made them.
var errUnordered = errors.New("values out of order or out of range")

const (
	queueValueMagic = 0x56514353 // "SCQV"
	indexValueMagic = 0x56584953 // "SIXV"
	valueVersion    = 1
	valueHeaderLen  = 40

	// valueKindSegment is a value of one segment. A value that many segments are folded into has runs that each
	// name their segment, and will be another kind.
	valueKindSegment = 0

	minRunLen = 9 // bytes; bounds what a decoder allocates
)

// Run is what a sealed segment has of one queue: offsets without a hole.
type Run struct {
	Queue   message.Queue
	First   message.Offset
	Count   int
	MinTime int64 // store times of the first and the last message, milliseconds since 1970
	MaxTime int64
	Bytes   int64 // of its blocks
	Object  int   // its number among the entry's objects
	Block   int   // number of its first block in the object
}

// Next returns the offset behind the run's last message.
func (r Run) Next() message.Offset { return r.First + message.Offset(r.Count) }

// ValueHeader begins every packed value of a segment.
//
//	0       4         5      6      8       10      12      16         24     32      40
//	┌───────┬─────────┬──────┬──────┬───────┬───────┬───────┬──────────┬──────┬───────┐   little-endian
//	│ magic │ version │ kind │ part │ parts │ shard │ count │ sequence │ base │ time  │
//	└───────┴─────────┴──────┴──────┴───────┴───────┴───────┴──────────┴──────┴───────┘
//
// Count is that of runs, or of fence groups. Time is what the times that follow are counted from.
type ValueHeader struct {
	Part     int // from 0
	Parts    int // that the segment's value is split into
	Shard    message.ShardID
	Count    int
	Sequence uint64           // of the entry
	Base     message.Position // of the segment
	Time     int64            // milliseconds since 1970
}

func (h ValueHeader) appendTo(dst []byte, magic uint32) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, magic)
	dst = append(dst, valueVersion, valueKindSegment)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.Part))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.Parts))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(h.Shard))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Count))
	dst = binary.LittleEndian.AppendUint64(dst, h.Sequence)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Base))
	return binary.LittleEndian.AppendUint64(dst, uint64(h.Time))
}

func decodeValueHeader(src []byte, magic uint32, minItem int) (ValueHeader, error) {
	if len(src) < valueHeaderLen || binary.LittleEndian.Uint32(src) != magic {
		return ValueHeader{}, fmt.Errorf("%w: no packed value in %d bytes", message.ErrCorrupt, len(src))
	}
	if src[4] != valueVersion || src[5] != valueKindSegment {
		return ValueHeader{}, fmt.Errorf("%w: packed value of version %d, kind %d", message.ErrCorrupt, src[4], src[5])
	}
	h := ValueHeader{
		Part:     int(binary.LittleEndian.Uint16(src[6:])),
		Parts:    int(binary.LittleEndian.Uint16(src[8:])),
		Shard:    message.ShardID(binary.LittleEndian.Uint16(src[10:])),
		Count:    int(binary.LittleEndian.Uint32(src[12:])),
		Sequence: binary.LittleEndian.Uint64(src[16:]),
		Base:     message.Position(binary.LittleEndian.Uint64(src[24:])),
		Time:     int64(binary.LittleEndian.Uint64(src[32:])),
	}
	if h.Part >= h.Parts || h.Count*minItem > len(src)-valueHeaderLen || h.Time > maxTime || h.Time < -maxTime {
		return ValueHeader{}, fmt.Errorf("%w: part %d of %d with %d items in %d bytes", message.ErrCorrupt, h.Part, h.Parts, h.Count, len(src))
	}
	return h, nil
}

// QueueValue is the consumeQueue value of a sealed segment, or a part of one: its runs in order of topic id and queue.
// Behind the header every run is varints:
//
//	topic id − that of the run before, queue (− that of the run before, if the topic is the same), first offset, count,
//	min time − header's time, max time − min time, bytes, object, block
type QueueValue struct {
	ValueHeader

	Runs []Run
}

// EncodeRuns packs a segment's runs, which are sorted, into as many values as their bound needs; at least one. It is
// given the header without what follows from the runs.
func EncodeRuns(h ValueHeader, runs []Run) ([][]byte, error) {
	if err := checkRuns(runs); err != nil {
		return nil, err
	}
	for i, r := range runs {
		if i == 0 || r.MinTime < h.Time {
			h.Time = r.MinTime
		}
	}
	var parts [][]byte
	var counts []int
	part := make([]byte, valueHeaderLen)
	var last message.Queue
	count := 0
	for _, r := range runs {
		n := len(part)
		part = r.appendTo(part, last, h.Time)
		if len(part) > meta.MaxDataLen {
			parts, counts = append(parts, part[:n:n]), append(counts, count)
			part, last, count = make([]byte, valueHeaderLen), message.Queue{}, 0
			part = r.appendTo(part, last, h.Time)
		}
		last = r.Queue
		count++
	}
	parts, counts = append(parts, part), append(counts, count)
	return withHeaders(h, queueValueMagic, parts, counts)
}

// withHeaders fills the headers of parts, in which their room is left.
func withHeaders(h ValueHeader, magic uint32, parts [][]byte, counts []int) ([][]byte, error) {
	if len(parts) > 1<<16-1 {
		return nil, fmt.Errorf("%w: %d parts", errUnordered, len(parts))
	}
	for i, part := range parts {
		h.Part, h.Parts, h.Count = i, len(parts), counts[i]
		h.appendTo(part[:0], magic)
	}
	return parts, nil
}

func checkRuns(runs []Run) error {
	for i, r := range runs {
		if i > 0 && compareQueues(runs[i-1].Queue, r.Queue) >= 0 || r.First < 0 || r.Count < 1 || r.MaxTime < r.MinTime ||
			r.MinTime < -maxTime || r.MaxTime > maxTime || r.Bytes < 0 || r.Object < 0 || r.Block < 0 {
			return fmt.Errorf("%w: run of queue %s from offset %d", errUnordered, r.Queue, r.First)
		}
	}
	return nil
}

func (r Run) appendTo(dst []byte, last message.Queue, time int64) []byte {
	queue := uint64(r.Queue.ID)
	if r.Queue.Topic == last.Topic {
		queue -= uint64(last.ID)
	}
	dst = binary.AppendUvarint(dst, uint64(r.Queue.Topic-last.Topic))
	dst = binary.AppendUvarint(dst, queue)
	dst = binary.AppendUvarint(dst, uint64(r.First))
	dst = binary.AppendUvarint(dst, uint64(r.Count))
	dst = binary.AppendUvarint(dst, uint64(r.MinTime-time))
	dst = binary.AppendUvarint(dst, uint64(r.MaxTime-r.MinTime))
	dst = binary.AppendUvarint(dst, uint64(r.Bytes))
	dst = binary.AppendUvarint(dst, uint64(r.Object))
	return binary.AppendUvarint(dst, uint64(r.Block))
}

// Bounds that keep sums from overflowing.
const (
	maxTime   = 1 << 60 // milliseconds
	maxOffset = 1 << 62
	maxCount  = 1 << 31
)

// DecodeQueueValue decodes the whole of src. It fails with [message.ErrCorrupt].
func DecodeQueueValue(src []byte) (QueueValue, error) {
	h, err := decodeValueHeader(src, queueValueMagic, minRunLen)
	if err != nil {
		return QueueValue{}, err
	}
	v := QueueValue{ValueHeader: h, Runs: make([]Run, 0, h.Count)}
	r := varints{src: src[valueHeaderLen:]}
	var last message.Queue
	for range h.Count {
		run := Run{Queue: message.Queue{Topic: last.Topic + message.TopicID(r.next(^uint64(0)))}}
		queue := r.next(1<<32 - 1)
		if run.Queue.Topic == last.Topic {
			queue += uint64(last.ID)
		}
		run.Queue.ID = message.QueueID(queue)
		run.First, run.Count = message.Offset(r.next(maxOffset)), int(r.next(maxCount))
		run.MinTime = h.Time + int64(r.next(maxTime))
		run.MaxTime = run.MinTime + int64(r.next(maxTime))
		run.Bytes, run.Object, run.Block = int64(r.next(1<<62)), int(r.next(1<<16)), int(r.next(maxCount))
		ascending := len(v.Runs) == 0 || compareQueues(last, run.Queue) < 0
		if r.bad || run.Count == 0 || queue > 1<<32-1 || !ascending || run.MinTime > maxTime || run.MaxTime > maxTime {
			return QueueValue{}, fmt.Errorf("%w: run %d of a consumeQueue value", message.ErrCorrupt, len(v.Runs))
		}
		last = run.Queue
		v.Runs = append(v.Runs, run)
	}
	if len(r.src) != 0 {
		return QueueValue{}, fmt.Errorf("%w: %d bytes behind a consumeQueue value", message.ErrCorrupt, len(r.src))
	}
	return v, nil
}

// FindRun returns the run of a queue among sorted runs.
func FindRun(runs []Run, queue message.Queue) (Run, bool) {
	i := sort.Search(len(runs), func(i int) bool { return compareQueues(runs[i].Queue, queue) >= 0 })
	if i == len(runs) || runs[i].Queue != queue {
		return Run{}, false
	}
	return runs[i], true
}

func sortRuns(runs []Run) {
	slices.SortFunc(runs, func(a, b Run) int { return compareQueues(a.Queue, b.Queue) })
}

func compareQueues(a, b message.Queue) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
}

// varints reads numbers until one is bad; from then on they are 0.
type varints struct {
	src []byte
	bad bool
}

// next reads a number of at most limit.
func (r *varints) next(limit uint64) uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 || v > limit {
		r.bad, r.src = true, nil
		return 0
	}
	r.src = r.src[n:]
	return v
}
