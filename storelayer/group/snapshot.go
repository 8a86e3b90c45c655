package group

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/stratamq/stratamq/message"
)

// A snapshot holds the durable layer of one group, little-endian:
//
//	0       4         6          8        12
//	┌───────┬─────────┬──────────┬────────┬────────────┬──────────┬──────┬─────────┬────────┬────────┐
//	│ magic │ version │ reserved │ length │ generation │ name len │ name │ clients │ queues │ crc32c │
//	│ SQGP  │ u16 = 1 │ u16      │ u32    │ u32        │ u8       │      │         │        │ u32    │
//	└───────┴─────────┴──────────┴────────┴────────────┴──────────┴──────┴─────────┴────────┴────────┘
//	length: of everything, crc32c included; the crc32c covers everything before it
//	clients: count u32, then each {len u8, name}, numbered from 1 in the order in which the deliveries name them
//	queues: count u32, then each, by topic and number,
//	  {topic u64, queue u32, flags u8 (1: started), current u64, floor i64, forgotten u32,
//	   barrier epoch u32, barrier lease u64,
//	   marks u8, each {epoch u32, lease u64},
//	   runs u32, each {first i64, end i64},
//	   deliveries u32, each {offset i64, lease u64, deadline i64, epoch u32, client u32, attempt u16,
//	                         flags u8 (1: auto, 2: uncounted)}}
const (
	snapshotMagic    = "SQGP"
	snapshotVersion  = 1
	snapshotHeadLen  = 12
	snapshotQueueLen = 8 + 4 + 1 + 8 + 8 + 4 + 4 + 8 + 1
	markLen          = 12
	deliveryLen      = 35

	queueStarted      = 1 << 0
	deliveryAuto      = 1 << 0
	deliveryUncounted = 1 << 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendSnapshot appends the durable layer. Records on their way are not in it: the log has them, or they
// never were.
func (g *Group) AppendSnapshot(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, snapshotMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, g.key.Generation)
	dst = append(dst, byte(len(g.key.Name)))
	dst = append(dst, g.key.Name...)

	queues := g.durableQueues()
	used := newClientNames()
	var body []byte
	for _, q := range queues {
		body = g.queues[q].appendTo(body, &g.names, &used)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(used.names)-1))
	for _, name := range used.names[1:] {
		dst = append(dst, byte(len(name)))
		dst = append(dst, name...)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(queues)))
	dst = append(dst, body...)
	binary.LittleEndian.PutUint32(dst[start+8:], uint32(len(dst)-start+4))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// durableQueues returns the queues to which a record was applied, sorted.
func (g *Group) durableQueues() []message.Queue {
	return slices.DeleteFunc(g.Queues(), func(q message.Queue) bool { return g.queues[q].current == 0 })
}

func (p *progress) appendTo(dst []byte, names, used *clientNames) []byte {
	flags := byte(0)
	if p.started {
		flags = queueStarted
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.queue.Topic))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.queue.ID))
	dst = append(dst, flags)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.current))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(p.floor))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.forgotten))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.barrier.epoch))
	dst = binary.LittleEndian.AppendUint64(dst, p.barrier.lease)
	dst = append(dst, byte(len(p.marks)))
	for _, m := range p.marks {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(m.epoch))
		dst = binary.LittleEndian.AppendUint64(dst, m.lease)
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(p.settled.runs()))
	for run := range p.settled.all(0) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(run.First))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(run.End))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(p.deliveries)))
	for _, o := range slices.Sorted(maps.Keys(p.deliveries)) {
		d := p.deliveries[o]
		flags := byte(0)
		if d.auto {
			flags |= deliveryAuto
		}
		if d.uncounted {
			flags |= deliveryUncounted
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(o))
		dst = binary.LittleEndian.AppendUint64(dst, d.lease)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(d.deadline))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(d.epoch))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(used.ref([]byte(names.names[d.client]))))
		dst = binary.LittleEndian.AppendUint16(dst, d.attempt)
		dst = append(dst, flags)
	}
	return dst
}

// DecodeSnapshot decodes the group at the head of src, and returns the rest of src. The group shares no memory with src.
// It fails with message.ErrCorrupt.
func DecodeSnapshot(src []byte) (*Group, []byte, error) {
	corrupt := func(what string) (*Group, []byte, error) {
		return nil, nil, fmt.Errorf("%w: snapshot of a group: %s", message.ErrCorrupt, what)
	}
	if len(src) < snapshotHeadLen || string(src[:4]) != snapshotMagic ||
		binary.LittleEndian.Uint16(src[4:]) != snapshotVersion || binary.LittleEndian.Uint16(src[6:]) != 0 {
		return corrupt("head")
	}
	length := uint64(binary.LittleEndian.Uint32(src[8:]))
	if length < snapshotHeadLen+4 || length > uint64(len(src)) {
		return corrupt("length")
	}
	body, rest := src[:length-4], src[length:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(src[length-4:]) {
		return corrupt("checksum")
	}
	r := reader{b: body[snapshotHeadLen:]}
	g := New(Key{Generation: r.u32(), Name: ""})
	g.key.Name = string(r.bytes(int(r.u8())))
	for i := range r.count(1) {
		ref := g.names.ref(r.bytes(int(r.u8())))
		r.check(int(ref) == i+1)
	}
	g.namesLimit = max(namesLimit, 2*len(g.names.names))
	last := message.Queue{}
	for i := range r.count(snapshotQueueLen + 8) {
		p := r.progress(len(g.names.names))
		if r.bad || i > 0 && compareQueues(last, p.queue) >= 0 {
			return corrupt("queue")
		}
		last = p.queue
		g.queues[p.queue] = p
		g.rebuild(p)
	}
	if r.bad || len(r.b) > 0 {
		return corrupt("body")
	}
	return g, rest, nil
}

func (r *reader) progress(clients int) *progress {
	p := newProgress(message.Queue{Topic: message.TopicID(r.u64()), ID: message.QueueID(r.u32())})
	flags := r.u8()
	p.started = flags&queueStarted != 0
	p.current = message.Position(r.u64())
	p.floor = r.offset()
	p.forgotten = message.Epoch(r.u32())
	p.barrier = mark{epoch: message.Epoch(r.u32()), lease: r.u64()}
	r.check(flags&^queueStarted == 0 && p.current > 0 && (p.started || p.floor == 0))
	for range r.u8() {
		m := mark{epoch: message.Epoch(r.u32()), lease: r.u64()}
		r.check(m.epoch > p.forgotten && len(p.marks) < maxMarks &&
			(len(p.marks) == 0 || m.epoch > p.marks[len(p.marks)-1].epoch))
		if r.bad {
			return p
		}
		p.marks = append(p.marks, m)
	}
	end := p.floor
	if !p.started {
		end = -1
	}
	for range r.count(settleRunLen) {
		run := Run{First: r.offset(), End: r.offset()}
		r.check(run.First > end && run.First < run.End)
		if r.bad {
			return p
		}
		end = run.End
		p.settled.add(run)
	}
	lastOffset := p.floor - 1
	for range r.count(deliveryLen) {
		o := r.offset()
		d := delivery{lease: r.u64(), deadline: int64(r.u64()), epoch: message.Epoch(r.u32()), client: clientRef(r.u32()), attempt: r.u16()}
		flags := r.u8()
		d.auto, d.uncounted = flags&deliveryAuto != 0, flags&deliveryUncounted != 0
		_, clash := p.settled.at(o)
		r.check(o > lastOffset && !clash && uint64(d.client) < uint64(clients) && flags&^(deliveryAuto|deliveryUncounted) == 0)
		if r.bad {
			return p
		}
		lastOffset = o
		p.deliveries[o] = d
	}
	p.advance()
	return p
}

// reader takes fields from the head of b; once something is wrong it is bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) check(ok bool) { r.bad = r.bad || !ok }

func (r *reader) bytes(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) offset() message.Offset {
	o := r.u64()
	r.check(o <= uint64(maxOffset))
	return message.Offset(o & (1<<63 - 1))
}

// count reads how many items of at least size bytes follow, so that nothing is made for items that are not there.
func (r *reader) count(size int) int {
	n := uint64(r.u32())
	r.check(n*uint64(size) <= uint64(len(r.b)))
	if r.bad {
		return 0
	}
	return int(n)
}

// Dump writes the durable layer as canonical text: two groups with the same durable state give the same text.
func (g *Group) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	_, _ = fmt.Fprintf(b, "group %q generation %d\n", g.key.Name, g.key.Generation)
	for _, q := range g.durableQueues() {
		p := g.queues[q]
		_, _ = fmt.Fprintf(b, "queue %s current=%d started=%t floor=%d next=%d forgotten=%d barrier=%d/%d\n",
			q, uint64(p.current), p.started, p.floor, p.next, uint32(p.forgotten), uint32(p.barrier.epoch), p.barrier.lease)
		for _, m := range p.marks {
			_, _ = fmt.Fprintf(b, "  mark %d/%d\n", uint32(m.epoch), m.lease)
		}
		for run := range p.settled.all(0) {
			_, _ = fmt.Fprintf(b, "  settled [%d, %d)\n", run.First, run.End)
		}
		for _, o := range slices.Sorted(maps.Keys(p.deliveries)) {
			d := p.deliveries[o]
			_, _ = fmt.Fprintf(b, "  delivery %d lease=%d/%d attempt=%d deadline=%d auto=%t uncounted=%t client=%q\n",
				o, uint32(d.epoch), d.lease, d.attempt, d.deadline, d.auto, d.uncounted, g.names.names[d.client])
		}
	}
	return b.Flush() // a bufio.Writer keeps its first error
}
