package commitlog

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
)

const (
	// frameBufs is how many frames can be on their way: filling, syncing, applied, and one to spare.
	frameBufs = 4
	// frameBufLen is the size in bytes that a frame's buffer begins with. It grows with the frames, to
	// about FrameTarget under load, so that an idle log takes little memory.
	frameBufLen = 64 << 10
	// maxFrameBuf is the largest buffer that is kept; a frame of one large batch gives its own back.
	maxFrameBuf = 2 * FrameTarget
)

// frameBuf is a frame on its way. One goroutine at a time has it.
type frameBuf struct {
	buf    []byte // header, records; sealed: checksum and zeros to the page as well
	head   frameHeader
	crc    uint32
	base   message.Position // of the segment that it lies in
	reqs   []*Request
	bytes  int64          // of reqs, as they were admitted
	create *segmentHeader // the segment that this frame begins, or nil
	local  int            // how many of reqs want AckLocal
	eager  int            // how many of reqs somebody waits for
	err    error          // what became of it
}

func newFrameBuf() *frameBuf {
	f := &frameBuf{}
	f.reset()
	return f
}

// reset makes an empty frame of it. A buffer that a large batch made is let go.
func (f *frameBuf) reset() {
	if buf := f.buf; cap(buf) == 0 || cap(buf) > maxFrameBuf {
		f.buf = make([]byte, frameHeaderLen, frameBufLen)
	}
	clear(f.reqs)
	*f = frameBuf{buf: f.buf[:frameHeaderLen], reqs: f.reqs[:0]}
}

// frame is what Apply sees of it.
func (f *frameBuf) frame() Frame {
	return frameOf(&f.head, f.buf[frameHeaderLen:f.head.length-frameCRCLen:f.head.length-frameCRCLen], f.crc, f.base)
}

// fits reports whether the frame may take the batch: the first always, others up to the target.
func (f *frameBuf) fits(r *Request) bool {
	return len(f.reqs) == 0 || int64(len(f.buf))+r.size+frameCRCLen <= FrameTarget
}

// fill appends requests to the frame, as many as it takes, and returns the others.
func (l *Log) fill(f *frameBuf, reqs []*Request) (rest []*Request) {
	if len(reqs) == 0 || !f.fits(reqs[0]) {
		return reqs
	}
	storeTime := l.storeTime()
	for len(reqs) > 0 && f.fits(reqs[0]) {
		r := reqs[0]
		reqs = reqs[1:]
		before := len(f.buf)
		var records int
		f.buf, records = r.Batch.AppendTo(f.buf, l.tail.next+message.Position(before), storeTime)
		if int64(len(f.buf)-before) > r.size {
			panic(fmt.Sprintf("commitlog: a batch of at most %d bytes appended %d", r.size, len(f.buf)-before))
		}
		if records > 0 {
			if f.head.count == 0 {
				f.head.minTime = storeTime
			}
			f.head.maxTime = storeTime
			f.head.count += uint32(records)
		}
		f.reqs = append(f.reqs, r)
		f.bytes += r.size
		if r.Ack == AckLocal {
			f.local++
		}
		if !r.Lazy {
			f.eager++
		}
	}
	return reqs
}

// refuse answers those requests that may be refused and that the disk has no room for behind the frame, and returns
// the others. What a frame holds already has its place in the log and waits.
func (l *Log) refuse(f *frameBuf, reqs []*Request) (rest []*Request) {
	var bytes int64
	rest = reqs[:0]
	for _, r := range reqs {
		if r.Refusable && !l.filler.holds(len(f.buf), bytes+r.size) {
			l.filler.full.Store(true) // those that come next are not even admitted
			l.queue.written(r.size)
			r.Done(ErrFull)
			continue
		}
		bytes += r.size
		rest = append(rest, r)
	}
	return rest
}

// storeTime tells the time of the records that come next.
func (l *Log) storeTime() int64 {
	if l.acceptTime.Swap(false) {
		l.stamper.Accept()
	}
	ms, trust := l.stamper.Next()
	if trust != l.trust {
		l.trust = trust
		if fn := l.opts.Events.Time; fn != nil {
			fn(trust, ms)
		}
	}
	return ms
}

// seal makes the frame final: the place, the header, the checksums. It may be written once
// everything before it is durable, which its header says.
func (l *Log) seal(f *frameBuf) {
	length := len(f.buf) + frameCRCLen
	at := l.tail.next
	if at+message.Position(pages(int64(length))) > l.active.room {
		l.planSegment(f, int64(length))
	}
	h := &f.head
	h.length, h.shard, h.segment = uint32(length), l.opts.Shard, l.active.id
	h.epoch, h.epochStart = l.epoch, l.epochStart
	h.position, h.prevCRC, h.committed = at, l.tail.crc, at
	h.put(f.buf)
	f.crc = crc32.Checksum(f.buf, castagnoli)
	f.base = l.active.base
	f.buf = binary.LittleEndian.AppendUint32(f.buf, f.crc)
	f.buf = append(f.buf, zeroPage[:pages(int64(length))-int64(length)]...)
	l.tail.advance(h, f.crc)
	l.proven = h.count == 0
}

var zeroPage [pageSize]byte

// planSegment begins a new segment at the end of the log, long enough for the frame.
func (l *Log) planSegment(f *frameBuf, frameLen int64) {
	length := max(l.opts.SegmentSize, pageSize+pages(frameLen))
	h := l.newHeader(l.tail.next, l.tail.crc, length)
	f.create = &h
	l.active = segmentPlan{id: h.id, base: h.base, room: h.base + message.Position(length-pageSize)}
}

// committer is what Run's goroutines hand to one another.
//
//	Submit ─► queue ─► encode ─► toWrite ─► write ─► toApply ─► apply ─► Done
//	                     ▲   ready ◄─────────┘                    │
//	                     └──────────────── free ◄─────────────────┘
type committer struct {
	l       *Log
	free    chan *frameBuf
	toWrite chan *frameBuf
	toApply chan *frameBuf
	ready   chan struct{} // a token: the writer has nothing to do
}

func newCommitter(l *Log) *committer {
	c := &committer{
		l: l, free: make(chan *frameBuf, frameBufs), toWrite: make(chan *frameBuf, 1),
		toApply: make(chan *frameBuf, frameBufs), ready: make(chan struct{}, 1),
	}
	for range frameBufs {
		c.free <- newFrameBuf()
	}
	c.ready <- struct{}{}
	return c
}

// encode fills frames while the writer syncs the one before, and hands one over as soon as the
// writer is ready. It lingers for nothing. When ctx ends it admits no more and hands over the rest.
func (c *committer) encode(ctx context.Context) {
	defer close(c.toWrite)
	l := c.l
	idle := l.idleTimer()
	defer idle.Stop()
	lazy := l.opts.Clock.NewTimer(lazyAfter)
	defer lazy.Stop()
	f := <-c.free
	var taken, todo []*Request // todo is the part of taken that no frame has
	var rollAsked, isReady, idleDue, stopping bool
	var lazyWaits, lazyDue bool // the frame holds only what nobody waits for: since when, and whether that was long enough
	for {
		if !stopping && ctx.Err() != nil {
			stopping = true
			todo = append(todo, l.queue.close(ErrClosed)...)
		}
		if l.fence.err() != nil {
			answer(f.reqs, l.fence.err())
			answer(todo, l.fence.err())
			return
		}
		if len(todo) == 0 {
			clear(taken)
			var asked bool
			taken, asked = l.queue.take(taken[:0])
			todo = taken
			rollAsked = rollAsked || asked
		}
		short := l.filler.short.Load()
		if short {
			todo = l.refuse(f, todo)
		}
		todo = l.fill(f, todo)
		rollAsked = rollAsked && l.tail.next > l.active.base
		roll := rollAsked && !short // a new segment would wait for room, and everything behind it
		prove := !l.proven && (idleDue || stopping) && (!short || l.filler.holds(len(f.buf), 0))
		if len(f.reqs) == 0 && !roll && !prove {
			if stopping {
				return
			}
			select {
			case <-l.queue.wake:
			case <-idle.C():
				idleDue = true
			case <-ctx.Done():
			case <-l.fence.raised:
			}
			continue
		}
		if f.eager == 0 && len(todo) == 0 && !roll && !prove && !stopping && !lazyDue {
			if !lazyWaits {
				lazy.Reset(lazyAfter)
				lazyWaits = true
			}
			select {
			case <-l.queue.wake:
			case <-lazy.C():
				lazyDue = true
			case <-ctx.Done():
			case <-l.fence.raised:
			}
			continue
		}
		if !isReady {
			wake := l.queue.wake
			if len(todo) > 0 {
				wake = nil // the frame is full: more would only wait longer
			}
			select {
			case <-c.ready:
				isReady = true
			case <-wake:
			case <-l.filler.starved:
			case <-l.fence.raised:
			}
			continue // take once more what came meanwhile
		}
		if roll {
			l.planSegment(f, int64(len(f.buf)+frameCRCLen))
		}
		l.seal(f)
		c.toWrite <- f
		isReady, rollAsked, idleDue = false, rollAsked && !roll, false
		lazyWaits, lazyDue = false, false
		l.resetIdle(idle)
		f = <-c.free
	}
}

// idleTimer returns a timer that fires when nothing has come for so long that the last frame should be proved.
func (l *Log) idleTimer() clock.Timer {
	t := l.opts.Clock.NewTimer(max(l.opts.IdleAfter, 0))
	l.resetIdle(t)
	return t
}

func (l *Log) resetIdle(t clock.Timer) {
	if l.opts.IdleAfter < 0 {
		t.Stop()
		return
	}
	t.Reset(l.opts.IdleAfter)
}
