package offload

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

const (
	// readGap is how many bytes that nobody wants are read rather than skipped by another read: a pread costs
	// about as much as copying them.
	readGap = 4 << 10

	// readWindow bounds one read of the segment, in bytes.
	readWindow = 256 << 10

	// readAlone is how many bytes of records, one behind the other in the log and in their queue, are read to
	// where they belong by a pread of their own: that costs less than copying them out of a common one.
	readAlone = 16 << 10
)

// gatherer brings records into queue order, as many as fit its buffer at once: those are read in log order, so that
// records which lie near each other cost one read.
type gatherer struct {
	src    Source
	buf    []byte   // the records of a batch, in queue order
	want   []wanted // the same, to be sorted by position
	window []byte
}

// wanted is a record of the batch, or several that follow each other in the log as in their queue.
type wanted struct {
	position message.Position
	size     uint32
	at       uint32 // in the buffer
}

func (w *wanted) end() message.Position { return w.position + message.Position(w.size) }

// span is a part of a queue that is in the batch.
type span struct {
	queue    *queueItems
	from, to int // items
}

// each calls add for every message of the queues, in order. The records are valid until done is called, and those in
// between lie one behind the other.
func (g *gatherer) each(ctx context.Context, queues []*queueItems, limit int, add func(q *queueItems, i int, record []byte) error, done func()) error {
	var batch []span
	size := 0
	flush := func() error {
		err := g.flush(ctx, batch, size, add)
		done()
		batch, size = batch[:0], 0
		return err
	}
	for _, q := range queues {
		from := 0
		for i := range q.items {
			n := int(q.items[i].entry.Size)
			if size > 0 && size+n > limit {
				if i > from {
					batch = append(batch, span{q, from, i})
				}
				if err := flush(); err != nil {
					return err
				}
				from = i
			}
			size += n
		}
		if from < len(q.items) {
			batch = append(batch, span{q, from, len(q.items)})
		}
	}
	return flush()
}

// flush reads a batch and hands it on.
func (g *gatherer) flush(ctx context.Context, batch []span, size int, add func(q *queueItems, i int, record []byte) error) error {
	if err := g.read(ctx, batch, size); err != nil {
		return err
	}
	at := 0
	for _, s := range batch {
		for i := s.from; i < s.to; i++ {
			it := &s.queue.items[i]
			record := g.buf[at : at+int(it.entry.Size)]
			at += len(record)
			if crc := tiering.Checksum(record); crc != it.crc {
				return fmt.Errorf("%w: the message at %s changed on the local disk: CRC32C %08x, it was %08x", message.ErrCorrupt, it.entry.Position, crc, it.crc)
			}
			if err := add(s.queue, i, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// read fills the buffer with the records of a batch.
func (g *gatherer) read(ctx context.Context, batch []span, size int) error {
	g.want = g.want[:0]
	at := uint32(0)
	for _, s := range batch {
		for _, it := range s.queue.items[s.from:s.to] {
			if n := len(g.want); n > 0 && g.want[n-1].end() == it.entry.Position && g.want[n-1].size < readWindow {
				g.want[n-1].size += it.entry.Size // and it goes behind it
			} else {
				g.want = append(g.want, wanted{position: it.entry.Position, size: it.entry.Size, at: at})
			}
			at += it.entry.Size
		}
	}
	if len(batch) > 1 {
		slices.SortFunc(g.want, func(a, b wanted) int { return cmp.Compare(a.position, b.position) })
	}
	if cap(g.buf) < size {
		g.buf = make([]byte, size)
	}
	g.buf = g.buf[:size]
	for rest := g.want; len(rest) > 0; {
		n := together(rest)
		if err := g.readTogether(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// together returns how many at the head of want one read takes.
func together(want []wanted) int {
	first, n := want[0].position, 1
	for want[0].size < readAlone && n < len(want) && want[n].size < readAlone &&
		want[n].position <= want[n-1].end()+readGap && want[n].end()-first <= readWindow {
		n++
	}
	return n
}

func (g *gatherer) readTogether(ctx context.Context, want []wanted) error {
	first, last := want[0], want[len(want)-1]
	if len(want) == 1 {
		return g.src.ReadAt(ctx, g.buf[first.at:first.at+first.size], first.position)
	}
	n := int(last.end() - first.position)
	if cap(g.window) < n {
		g.window = make([]byte, max(n, readWindow))
	}
	window := g.window[:n]
	if err := g.src.ReadAt(ctx, window, first.position); err != nil {
		return err
	}
	for _, w := range want {
		copy(g.buf[w.at:w.at+w.size], window[w.position-first.position:])
	}
	return nil
}
