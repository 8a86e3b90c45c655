package offload

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// sorted is the index of a segment by queue: where each message lies, without the messages. It takes about 50 bytes per
// message in slabs without pointers.
type sorted struct {
	queues  []*queueItems // by topic id and queue
	records uint64
	bytes   uint64
}

// queueItems are the messages of one queue, by offset.
type queueItems struct {
	queue message.Queue
	first message.Offset
	items []item
	keys  []uint64 // of all messages
	bytes int64
}

// item is one message.
type item struct {
	entry  message.Entry
	time   int64
	keyEnd uint32 // its keys end there, in the queue's; they begin where those of the item before end
	crc    uint32 // of its record, so that what is read in the second pass is what the frame's checksum covered
}

// collect reads a segment once, in log order.
func collect(ctx context.Context, src Source, base message.Position) (*sorted, error) {
	s := &sorted{}
	byQueue := make(map[message.Queue]*queueItems)
	for r, err := range src.Records(ctx, base) {
		if err != nil {
			return nil, fmt.Errorf("read segment %s: %w", base, err)
		}
		q := byQueue[r.Queue]
		if q == nil {
			q = &queueItems{queue: r.Queue, first: r.Offset}
			byQueue[r.Queue] = q
			s.queues = append(s.queues, q)
		}
		if want := q.first + message.Offset(len(q.items)); r.Offset != want || int(r.Entry.Size) != len(r.Bytes) {
			return nil, fmt.Errorf("%w: segment %s: message of %d bytes at offset %d of queue %s, expected offset %d and %d bytes",
				message.ErrCorrupt, base, len(r.Bytes), r.Offset, r.Queue, want, r.Entry.Size)
		}
		q.keys = append(q.keys, r.Keys...)
		q.items = append(q.items, item{entry: r.Entry, time: r.StoreTime, keyEnd: uint32(len(q.keys)), crc: tiering.Checksum(r.Bytes)})
		q.bytes += int64(len(r.Bytes))
		s.records++
		s.bytes += uint64(len(r.Bytes))
	}
	slices.SortFunc(s.queues, func(a, b *queueItems) int {
		return cmp.Or(cmp.Compare(a.queue.Topic, b.queue.Topic), cmp.Compare(a.queue.ID, b.queue.ID))
	})
	return s, nil
}

// keysOf returns the keys of the i-th message.
func (q *queueItems) keysOf(i int) []uint64 {
	start := uint32(0)
	if i > 0 {
		start = q.items[i-1].keyEnd
	}
	return q.keys[start:q.items[i].keyEnd]
}
