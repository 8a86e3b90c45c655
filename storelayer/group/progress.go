package group

import (
	"slices"

	"github.com/stratamq/stratamq/message"
)

const (
	// shortRun is how long a run may be to be gone through offset by offset, however few deliveries there are:
	// a map that was large once takes long to go through even when it is empty.
	shortRun = 4096
	// largePeak is how many deliveries make the maps of a queue so large that they are made anew once they are empty.
	largePeak = 4096
)

// maxMarks is how many epochs a queue remembers for lost leases. A handle of an epoch before them is dead.
const maxMarks = 8

// delivery is an offset that was leased and is not settled: its last lease, live or ended.
type delivery struct {
	lease     uint64
	deadline  int64 // Unix milliseconds; with auto the latest possible end
	epoch     message.Epoch
	client    clientRef
	attempt   uint16 // deliveries so far, this one included
	auto      bool
	uncounted bool // this one does not count
}

// nextAttempt is the attempt of the delivery that follows d.
func (d delivery) nextAttempt() uint16 {
	if d.uncounted {
		return max(d.attempt, 1)
	}
	if d.attempt == maxAttempt {
		return maxAttempt
	}
	return d.attempt + 1
}

// before orders leases by age.
func before(e1 message.Epoch, l1 uint64, e2 message.Epoch, l2 uint64) bool {
	return e1 < e2 || e1 == e2 && l1 < l2
}

// mark is the last lease of an epoch that the queue has applied.
type mark struct {
	epoch message.Epoch
	lease uint64
}

// reservation is what the records on their way to the watermark make of an offset.
type reservation struct {
	delivery
	settled bool
	refs    uint16 // records on their way that touch the offset
}

// status says what is known of an offset.
type status uint8

const (
	untouched status = iota
	leased           // has a delivery, live or ended
	settled
)

// progress is a group's state in one queue.
type progress struct {
	queue message.Queue

	// The durable layer, changed by Apply alone.
	started    bool             // an offset was committed; before that only lost leases have left traces
	current    message.Position // records below it are in
	floor      message.Offset   // everything below is settled
	next       message.Offset   // the first offset that is neither settled nor delivered
	settled    runSet           // above floor
	deliveries map[message.Offset]delivery
	peak       int           // most deliveries and reservations since the maps were made
	marks      []mark        // by epoch
	forgotten  message.Epoch // marks up to this epoch are gone
	barrier    mark          // leases up to this one died in a reset

	// The overlay: the durable layer plus the records on their way.
	liveStarted bool
	liveFloor   message.Offset
	liveNext    message.Offset // nothing below is new
	over        map[message.Offset]reservation
	passed      runSet // after an abort: at or above liveNext, what filters on their way pass over
	stale       bool   // a reset was applied: rebuild
	resets      int    // resets on their way: no other decision until they are in

	// Soft state, made again from the layers.
	due      dueHeap
	spent    []message.Offset // sorted: past their last attempt when seen last
	spentMax int              // the attempts allowed then
}

func newProgress(q message.Queue) *progress {
	return &progress{
		queue:      q,
		deliveries: make(map[message.Offset]delivery),
		over:       make(map[message.Offset]reservation),
		due:        dueHeap{at: make(map[message.Offset]int64)},
	}
}

// isSettled reports whether the durable layer has o settled.
func (p *progress) isSettled(o message.Offset) bool {
	if o < p.floor {
		return true
	}
	_, ok := p.settled.at(o)
	return ok
}

// look returns what both layers together know of o.
func (p *progress) look(o message.Offset) (delivery, status) {
	if o < p.liveFloor {
		return delivery{}, settled
	}
	if r, ok := p.over[o]; ok {
		if r.settled {
			return delivery{}, settled
		}
		return r.delivery, leased
	}
	if d, ok := p.deliveries[o]; ok {
		return d, leased
	}
	if _, ok := p.settled.at(o); ok {
		return delivery{}, settled
	}
	if _, ok := p.passed.at(o); ok {
		return delivery{}, settled
	}
	return delivery{}, untouched
}

// lost reports whether a lease of an epoch before the leader's went with the tail of the log.
func (p *progress) lost(epoch message.Epoch, lease uint64) bool {
	if epoch <= p.forgotten {
		return false
	}
	for _, m := range p.marks {
		if m.epoch == epoch {
			return lease > m.lease
		}
	}
	return true
}

// settle marks a range settled in the durable layer.
func (p *progress) settle(r Run) {
	r.First = max(r.First, p.floor)
	if r.First >= r.End {
		return
	}
	if n := int64(r.End - r.First); n <= shortRun || n < int64(len(p.deliveries)) {
		for o := r.First; o < r.End; o++ {
			delete(p.deliveries, o)
		}
	} else {
		for o := range p.deliveries {
			if o >= r.First && o < r.End {
				delete(p.deliveries, o)
			}
		}
	}
	if p.started && r.First == p.floor && len(p.settled.chunks) == 0 {
		p.floor = r.End
	} else {
		p.settled.add(r)
	}
}

// advance moves floor and next over what is settled or delivered.
func (p *progress) advance() {
	if !p.started {
		return
	}
	for {
		run, ok := p.settled.first()
		if !ok || run.First > p.floor {
			break
		}
		p.floor = max(p.floor, run.End)
		p.settled.trim(p.floor)
	}
	p.next = max(p.next, p.floor)
	for {
		if _, ok := p.deliveries[p.next]; ok {
			p.next++
		} else if run, ok := p.settled.at(p.next); ok {
			p.next = run.End
		} else {
			return
		}
	}
}

// shrink gives back the memory of a backlog that is gone.
func (p *progress) shrink() {
	p.peak = max(p.peak, len(p.deliveries)+len(p.over))
	if p.peak < largePeak || len(p.deliveries) > 0 || len(p.over) > 0 {
		return
	}
	p.peak = 0
	p.deliveries = make(map[message.Offset]delivery)
	p.over = make(map[message.Offset]reservation)
	p.due = dueHeap{at: make(map[message.Offset]int64)}
}

// begin starts the queue at an offset; what is below counts as settled. Settled offsets that stood there without a
// beginning go, or join the floor, in advance.
func (p *progress) begin(o message.Offset) {
	p.started = true
	p.floor, p.next = o, o
	for old := range p.deliveries {
		if old < o {
			delete(p.deliveries, old)
		}
	}
}

// remember keeps the last lease of each of the newest epochs.
func (p *progress) remember(epoch message.Epoch, lease uint64) {
	i, ok := slices.BinarySearchFunc(p.marks, epoch, func(m mark, e message.Epoch) int { return int(int64(m.epoch) - int64(e)) })
	if ok {
		p.marks[i].lease = max(p.marks[i].lease, lease)
		return
	}
	if epoch <= p.forgotten {
		return
	}
	p.marks = slices.Insert(p.marks, i, mark{epoch: epoch, lease: lease})
	if len(p.marks) > maxMarks {
		p.forgotten = p.marks[0].epoch
		p.marks = slices.Delete(p.marks, 0, 1)
	}
}
