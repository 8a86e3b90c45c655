package queue

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/message"
)

// ErrNotLocal says that only the bucket has the entry of an offset.
var ErrNotLocal = errors.New("offset is not in the local log")

// maxOffset bounds what a decoder takes for an offset: no queue comes near it.
const maxOffset = message.Offset(1) << 62

// stripes is how many locks guard the map from queues to their state: readers of different queues rarely meet.
const stripes = 64

// Table holds the hot consumeQueue and index of a shard.
//
// Append, Roll and DropTopic are called by one goroutine at a time, the one that applies the log. Reserve is the
// committer's. WriteSegment, Attach and Drop may run beside them, in one goroutine at a time. Everything else may be
// called from any goroutine, at any time.
type Table struct {
	stripes [stripes]stripe
	active  *segment // owned by the goroutine that applies the log

	mu struct {
		sync.RWMutex
		segments []*segment                           // local, oldest first; the last is active
		dropped  map[message.TopicID]message.Position // topics deleted at a position that is still local
	}
}

type stripe struct {
	mu     sync.RWMutex
	queues map[message.Queue]*tail
}

// segment is one local segment of the log.
type segment struct {
	base  message.Position
	index *postings    // nil once in a file; under Table.mu
	file  *SegmentFile // set before any part has no slabs
	used  bool         // it has entries; written while it is active, by the goroutine that applies the log
}

// tail is the state of one queue: about 100 bytes if it has no local messages.
type tail struct {
	reserved message.Offset // owned by the committer

	mu       sync.RWMutex
	first    message.Offset
	next     message.Offset
	lastTime int64
	current  message.Position
	parts    []part // of the local segments with messages of the queue, oldest first, without a hole
}

// part is what a segment holds of a queue.
type part struct {
	segment    *segment
	entries    *slabs // nil once in a file
	first      message.Offset
	count      uint32
	firstEntry uint64 // number in the file
}

func (p *part) end() message.Offset { return p.first + message.Offset(p.count) }

// State is what the table knows of a queue.
type State struct {
	Queue         message.Queue
	First         message.Offset   // in any tier
	FirstLocal    message.Offset   // from here on the table has entries
	Next          message.Offset   // the queue's end
	LastStoreTime int64            // Unix milliseconds, 0 without a message
	Current       message.Position // messages below it are in
}

// SegmentState is one local segment of a table.
type SegmentState struct {
	Base   message.Position
	InFile bool
}

// NewTable returns the empty table of a shard whose oldest local segment starts at base.
func NewTable(base message.Position) *Table {
	t := &Table{active: &segment{base: base, index: &postings{}}}
	for i := range t.stripes {
		t.stripes[i].queues = make(map[message.Queue]*tail)
	}
	t.mu.segments = []*segment{t.active}
	t.mu.dropped = make(map[message.TopicID]message.Position)
	return t
}

func (t *Table) stripe(q message.Queue) *stripe {
	// Topic ids are random or counted, queues are counted: a multiplication spreads both.
	return &t.stripes[(uint64(q.Topic)+uint64(q.ID))*0x9e3779b97f4a7c15>>58]
}

// tail returns the state of a queue, nil if there is none.
func (t *Table) tail(q message.Queue) *tail {
	s := t.stripe(q)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.queues[q]
}

// makeTail returns the state of a queue, made if need be.
func (t *Table) makeTail(q message.Queue) *tail {
	if tl := t.tail(q); tl != nil {
		return tl
	}
	s := t.stripe(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	tl := s.queues[q]
	if tl == nil {
		tl = &tail{}
		s.queues[q] = tl
	}
	return tl
}

// Reserve takes n offsets of a queue for messages about to be written and returns the first of them. Readers see them
// once Append has published them; none is ever given back.
func (t *Table) Reserve(q message.Queue, n int) message.Offset {
	tl := t.makeTail(q)
	if tl.reserved == 0 {
		tl.mu.RLock()
		tl.reserved = tl.next
		tl.mu.RUnlock()
	}
	first := tl.reserved
	tl.reserved += message.Offset(n)
	return first
}

// Append publishes one message whose frame is at or below the watermark, in log order. A message that the table has
// already is skipped, and one that only a snapshot knows gets its entry, so that replay may begin at any local segment.
// A hole in a queue, or a position outside of the active segment, is message.ErrCorrupt. Hashes are the message's index
// keys ([message.IndexKey]); they are not kept.
func (t *Table) Append(q message.Queue, offset message.Offset, e message.Entry, storeTime int64, hashes []uint64) error {
	distance, err := distanceOf(t.active.base, e.Position)
	if err != nil {
		return err
	}
	if t.active.file != nil {
		return fmt.Errorf("%w: message at %s behind a full segment", message.ErrCorrupt, e.Position)
	}
	tl := t.tail(q)
	if tl == nil || tl.unknown() {
		if t.isDropped(q.Topic, e.Position) {
			return nil
		}
		tl = t.makeTail(q)
	}
	added, err := tl.append(t.active, q, offset, e, storeTime)
	if err != nil || !added {
		return err
	}
	t.active.used = true
	for _, hash := range hashes {
		t.active.index.add(hash, distance)
	}
	return nil
}

// unknown reports whether the queue has never had a message; the committer may have reserved its first.
func (tl *tail) unknown() bool {
	tl.mu.RLock()
	defer tl.mu.RUnlock()
	return tl.next == 0 && tl.first == 0 && tl.current == 0
}

func (tl *tail) append(s *segment, q message.Queue, offset message.Offset, e message.Entry, storeTime int64) (bool, error) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	localEnd, _ := tl.localEnd(offset)
	if offset > localEnd {
		return false, fmt.Errorf("%w: offset %d of queue %s follows %d", message.ErrCorrupt, offset, q, localEnd-1)
	}
	if e.Position >= tl.current {
		tl.current = e.Position + 1
		tl.lastTime = storeTime
	}
	if offset < localEnd {
		return false, nil
	}
	if tl.next == 0 {
		tl.first = max(tl.first, offset)
	}
	if n := len(tl.parts); n == 0 || tl.parts[n-1].segment != s {
		tl.parts = append(tl.parts, part{segment: s, entries: &slabs{}, first: offset})
	}
	p := &tl.parts[len(tl.parts)-1]
	p.entries.append(e)
	p.count++
	tl.next = max(tl.next, offset+1)
	return true, nil
}

// localEnd returns the end of the local entries, where the next one must lie; only says that nothing else will do. A queue
// without local entries may begin anywhere up to its end, and one that nobody has heard of at any offset. tl.mu is held.
func (tl *tail) localEnd(offset message.Offset) (end message.Offset, only bool) {
	switch n := len(tl.parts); {
	case n > 0:
		return tl.parts[n-1].end(), true
	case tl.current == 0 && tl.next == 0:
		return offset, false
	default:
		return min(offset, tl.next), false
	}
}

func (t *Table) isDropped(topic message.TopicID, at message.Position) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	end, ok := t.mu.dropped[topic]
	return ok && at < end
}

// SetFirst raises the first offset of a queue in any tier, as retention does; a lower one is ignored.
func (t *Table) SetFirst(q message.Queue, first message.Offset) {
	tl := t.makeTail(q)
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.first = max(tl.first, first)
	tl.next = max(tl.next, first)
}

// Restore sets what a rebuild from the bucket knows of a queue; FirstLocal is ignored. It comes before the
// first Append and Reserve of the queue.
func (t *Table) Restore(s State) {
	tl := t.makeTail(s.Queue)
	tl.mu.Lock()
	defer tl.mu.Unlock()
	tl.first, tl.next, tl.lastTime, tl.current = s.First, s.Next, s.LastStoreTime, s.Current
}

// DropTopic forgets the queues of a topic that was deleted by the record at a position. Its messages before that
// position stay forgotten in a replay.
func (t *Table) DropTopic(topic message.TopicID, at message.Position) {
	t.mu.Lock()
	t.mu.dropped[topic] = at
	t.mu.Unlock()
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.Lock()
		for q := range s.queues {
			if q.Topic == topic {
				delete(s.queues, q)
			}
		}
		s.mu.Unlock()
	}
}

// Queue returns the state of a queue, and false if the shard has never held a message of it.
func (t *Table) Queue(q message.Queue) (State, bool) {
	tl := t.tail(q)
	if tl == nil {
		return State{Queue: q}, false
	}
	s := tl.state(q)
	return s, s.known()
}

func (s State) known() bool { return s.Next > 0 || s.First > 0 || s.Current > 0 }

func (tl *tail) state(q message.Queue) State {
	tl.mu.RLock()
	defer tl.mu.RUnlock()
	return State{
		Queue: q, First: tl.first, FirstLocal: tl.firstLocal(), Next: tl.next,
		LastStoreTime: tl.lastTime, Current: tl.current,
	}
}

// firstLocal returns the first offset that has an entry; tl.mu is held.
func (tl *tail) firstLocal() message.Offset {
	if len(tl.parts) == 0 {
		return tl.next
	}
	return tl.parts[0].first
}

// Queues returns the states of all queues that had a message, by topic and number.
func (t *Table) Queues() []State {
	var out []State
	for i := range t.stripes {
		s := &t.stripes[i]
		s.mu.RLock()
		for q, tl := range s.queues {
			if state := tl.state(q); state.known() {
				out = append(out, state)
			}
		}
		s.mu.RUnlock()
	}
	slices.SortFunc(out, func(a, b State) int { return compareQueues(a.Queue, b.Queue) })
	return out
}

// Next returns the end of a queue: the offset that its next published message will have; 0 if it is not known.
func (t *Table) Next(q message.Queue) message.Offset {
	tl := t.tail(q)
	if tl == nil {
		return 0
	}
	tl.mu.RLock()
	defer tl.mu.RUnlock()
	return tl.next
}
