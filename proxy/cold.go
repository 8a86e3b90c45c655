package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/storelayer"
)

// resolve fills in the messages that only the bucket has and returns what can be delivered, in the
// shard's order. Cold messages that do not match, and those that retention has dropped, are settled; those
// that cannot be read, or do not fit beside the others, are given back.
func (p *Proxy) resolve(ctx context.Context, shard storelayer.Shard, leased storelayer.Leased, f filter.Filter, end time.Time) []Received {
	out := make([]Received, len(leased.Deliveries))
	var cold coldLeases
	for i, d := range leased.Deliveries {
		out[i] = Received{Handle: d.Handle, Bytes: d.Record}
		if d.Record == nil {
			cold.add(i, d.Handle)
		}
	}
	if len(cold) == 0 {
		return out
	}
	gone := p.readCold(ctx, shard, cold, out, leased.Tier.SealSequence, end)
	var settle, release []storelayer.Handle
	kept, bytes := out[:0], 0
	for i, d := range out {
		filtered := leased.Deliveries[i].Record == nil && d.Bytes != nil && !f.MatchTag(storedTag(d.Bytes))
		switch {
		case filtered || gone[i]:
			settle = append(settle, d.Handle)
		case d.Bytes == nil || len(kept) > 0 && bytes+len(d.Bytes) > LargeBody:
			release = append(release, d.Handle)
		default:
			kept, bytes = append(kept, d), bytes+len(d.Bytes)
		}
	}
	p.giveBack(ctx, shard, release)
	p.settle(ctx, shard, settle)
	return kept
}

// giveBack releases leases that cannot be delivered. One that is not given back comes again when it ends.
func (p *Proxy) giveBack(ctx context.Context, shard storelayer.Shard, handles []storelayer.Handle) {
	if len(handles) == 0 {
		return
	}
	p.metrics.coldReleased.Add(float64(len(handles)))
	if err := shard.Release(context.WithoutCancel(ctx), handles); err != nil {
		p.log.Warn("leases were not given back", "shard", shard.ID(), "count", len(handles), "err", err)
	}
}

// settle acknowledges leases that nobody will get. One that is not settled comes again and is tried anew.
func (p *Proxy) settle(ctx context.Context, shard storelayer.Shard, handles []storelayer.Handle) {
	if len(handles) == 0 {
		return
	}
	p.metrics.coldFiltered.Add(float64(len(handles)))
	if _, err := shard.Ack(context.WithoutCancel(ctx), handles); err != nil {
		p.log.Warn("messages that do not match were not settled", "shard", shard.ID(), "count", len(handles), "err", err)
	}
}

// coldLease is a delivery whose bytes only the bucket has.
type coldLease struct {
	index  int // among the deliveries
	queue  message.Queue
	offset message.Offset
}

// coldLeases are sorted by queue and offset, so that what lies side by side is read at once.
type coldLeases []coldLease

// add inserts a lease at its place; a lease is asked for at most MaxReceive at a time.
func (c *coldLeases) add(index int, h storelayer.Handle) {
	l := coldLease{index: index, queue: h.Queue, offset: h.Offset}
	at := len(*c)
	for at > 0 && l.before((*c)[at-1]) {
		at--
	}
	*c = append(*c, l)
	copy((*c)[at+1:], (*c)[at:])
	(*c)[at] = l
}

func (l coldLease) before(other coldLease) bool {
	if l.queue != other.queue {
		return l.queue.Topic < other.queue.Topic || l.queue.Topic == other.queue.Topic && l.queue.ID < other.queue.ID
	}
	return l.offset < other.offset
}

// run returns how many of the leases lie side by side at the head of c.
func (c coldLeases) run() int {
	n := 1
	for n < len(c) && c[n].queue == c[0].queue && c[n].offset == c[0].offset+message.Offset(n) {
		n++
	}
	return n
}

// readCold reads the bytes of cold leases into out, up to about LargeBody in all, and says which of them
// retention has dropped. A queue that cannot be read, also because the bucket does not answer in time, is closed for
// further leases.
func (p *Proxy) readCold(ctx context.Context, shard storelayer.Shard, cold coldLeases, out []Received, seal uint64, end time.Time) (gone map[int]bool) {
	reading, cancel := context.WithTimeout(ctx, coldReadTime(end))
	defer cancel()
	gone = map[int]bool{}
	budget := LargeBody
	for len(cold) > 0 && budget > 0 && ctx.Err() == nil {
		first := cold[0]
		if p.cold.blocked(first.queue) {
			cold = cold[1:]
			continue
		}
		got, err := p.readHistory(reading, shard, first.queue, first.offset, cold.run(), budget, seal)
		switch {
		case errors.Is(err, ErrGone):
			gone[first.index] = true
			p.log.Warn("message dropped by retention before it was consumed", "queue", first.queue, "offset", first.offset)
			cold = cold[1:]
		case err != nil && ctx.Err() != nil: // the client left, nothing is wrong with the bucket
		case err != nil:
			p.closeQueue(first.queue, coldPlace{shard: shard, offset: first.offset, seal: seal}, err)
		default:
			for i, m := range got {
				out[cold[i].index].Bytes = m.Stored
				budget -= len(m.Stored)
			}
			cold = cold[len(got):]
		}
	}
	return gone
}

// readHistory reads cold messages and insists that there is at least one, and that they are the ones
// asked for: a message that should be in the bucket and is not is an error, never a gap.
func (p *Proxy) readHistory(ctx context.Context, shard storelayer.Shard, q message.Queue, from message.Offset, limit, maxBytes int, seal uint64) ([]message.Located, error) {
	if p.history == nil {
		return nil, fmt.Errorf("%w: offset %d of queue %s is not local, and there is no bucket", ErrHistory, from, q)
	}
	got, err := p.history.Read(ctx, shard.ID(), q, from, limit, maxBytes, seal)
	if err != nil {
		return nil, fmt.Errorf("%w: queue %s from offset %d: %w", ErrHistory, q, from, err)
	}
	if len(got) == 0 || len(got) > limit {
		return nil, fmt.Errorf("%w: queue %s from offset %d: %d messages of %d", ErrHistory, q, from, len(got), limit)
	}
	for i, m := range got {
		if m.Queue != q || m.Offset != from+message.Offset(i) {
			return nil, fmt.Errorf("%w: queue %s from offset %d: got offset %d of %s", ErrHistory, q, from, m.Offset, m.Queue)
		}
	}
	return got, nil
}

// storedTag returns the tag of a stored message, "" without one.
func storedTag(stored []byte) string {
	tag, _ := message.Property(message.Stored(stored).Properties(), message.PropertyTag)
	return string(tag)
}
