package queue

import (
	"errors"
	"sort"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// readSpan is how many entries one read of a file takes: 12 KiB.
const readSpan = 512

// Entry returns one entry. It fails with *storelayer.OffsetOutOfRangeError if the queue does not hold the offset and
// with ErrNotLocal if only the bucket has it.
func (t *Table) Entry(q message.Queue, offset message.Offset) (message.Entry, error) {
	var one [1]message.Entry
	got, err := t.Range(one[:0], q, offset, 1)
	if err != nil {
		return message.Entry{}, err
	}
	if len(got) == 0 {
		return message.Entry{}, t.outOfRange(q, offset)
	}
	return got[0], nil
}

func (t *Table) outOfRange(q message.Queue, offset message.Offset) error {
	s, _ := t.Queue(q)
	return &storelayer.OffsetOutOfRangeError{Queue: q, Offset: offset, First: s.First, Next: s.Next}
}

// Range appends at most limit entries of a queue to dst, from an offset on and without a hole, and returns it; fewer come
// only at the queue's end. It fails like Entry, but the queue's end itself gives no entry and no error. After
// an error of a file dst holds the entries before it.
func (t *Table) Range(dst []message.Entry, q message.Queue, from message.Offset, limit int) ([]message.Entry, error) {
	tl := t.tail(q)
	if tl == nil {
		if from == 0 {
			return dst, nil
		}
		return dst, t.outOfRange(q, from)
	}
	tl.mu.RLock()
	defer tl.mu.RUnlock()
	switch {
	case from < tl.first || from > tl.next:
		return dst, &storelayer.OffsetOutOfRangeError{Queue: q, Offset: from, First: tl.first, Next: tl.next}
	case from == tl.next:
		return dst, nil
	case from < tl.firstLocal():
		return dst, ErrNotLocal
	}
	i := sort.Search(len(tl.parts), func(i int) bool { return tl.parts[i].end() > from })
	for ; i < len(tl.parts) && limit > 0; i++ {
		p := &tl.parts[i]
		n := min(limit, int(p.end()-from))
		var err error
		if dst, err = p.read(dst, uint32(from-p.first), n); err != nil {
			return dst, err
		}
		from += message.Offset(n)
		limit -= n
	}
	return dst, nil
}

// read appends n entries from index i on.
func (p *part) read(dst []message.Entry, i uint32, n int) ([]message.Entry, error) {
	var buf []byte
	if p.entries == nil {
		buf = make([]byte, min(n, readSpan)*entryLen)
	}
	for n > 0 {
		var b []byte
		if p.entries != nil {
			b = p.entries.bytes(i, n)
		} else {
			b = buf[:min(n*entryLen, len(buf))]
			if err := p.segment.file.read(b, p.firstEntry+uint64(i)); err != nil {
				return dst, err
			}
		}
		i += uint32(len(b) / entryLen)
		n -= len(b) / entryLen
		for ; len(b) > 0; b = b[entryLen:] {
			e, err := message.DecodeEntry(b)
			if err != nil {
				return dst, err
			}
			dst = append(dst, e)
		}
	}
	return dst, nil
}

// OffsetAt returns the first local offset whose message was stored at or after an instant, and the queue's end if there
// is none. Store times never fall within a queue. The store time of an entry is read by the caller, without a lock;
// its error ends the search, unless it is ErrNotLocal: a trim may pass by at any time, and the search goes on in what
// is left. An answer at or below the first local offset as it is afterwards may so have an earlier one in the bucket.
func (t *Table) OffsetAt(q message.Queue, at int64, storeTime func(message.Entry) (int64, error)) (message.Offset, error) {
	s, _ := t.Queue(q)
	low, high := max(s.First, s.FirstLocal), s.Next
	for low < high {
		mid := low + (high-low)/2
		var stored int64
		e, err := t.Entry(q, mid)
		if err == nil {
			stored, err = storeTime(e)
		}
		if _, outside := errors.AsType[*storelayer.OffsetOutOfRangeError](err); outside || errors.Is(err, ErrNotLocal) {
			// A trim or the retention passed by.
			s, ok := t.Queue(q)
			if first := max(s.First, s.FirstLocal); ok && first > mid {
				low, high = first, max(first, high)
				continue
			}
		}
		if err != nil {
			return 0, err
		}
		if stored < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// Lookup appends to dst the positions of messages with an index key, newest first, until dst has limit. Two keys may
// share a hash: the caller compares the message.
func (t *Table) Lookup(dst []message.Position, hash uint64, limit int) ([]message.Position, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := len(t.mu.segments) - 1; i >= 0 && len(dst) < limit; i-- {
		s := t.mu.segments[i]
		if s.index != nil {
			dst = s.index.lookup(dst, s.base, hash, limit)
			continue
		}
		var err error
		if dst, err = s.file.lookup(dst, hash, limit); err != nil {
			return dst, err
		}
	}
	return dst, nil
}
