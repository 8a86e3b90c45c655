package queue

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

// A snapshot holds the queues of a table without their entries, little-endian:
//
//	0       4         6          8        12        16
//	┌───────┬─────────┬──────────┬────────┬─────────┬────────┬─────────┬────────┬────────┐
//	│ magic │ version │ reserved │ length │ dropped │ queues │ dropped │ queues │ crc32c │
//	│ SQTB  │ u16 = 1 │ u16      │ u64    │ u32     │ u32    │         │        │ u32    │
//	└───────┴─────────┴──────────┴────────┴─────────┴────────┴─────────┴────────┴────────┘
//	length: of everything, crc32c included; the crc32c covers everything before it
//	dropped: by topic, {topic u64, position u64}
//	queues: by topic and number, {topic u64, queue u32, first i64, next i64, last store time i64, current u64}
const (
	snapshotMagic    = "SQTB"
	snapshotVersion  = 1
	snapshotHeadLen  = 24
	snapshotDropLen  = 16
	snapshotQueueLen = 44
)

// AppendSnapshot appends the states of all queues while appends go on: each carries the position up to which it is current.
func (t *Table) AppendSnapshot(dst []byte) []byte {
	queues := t.Queues()
	t.mu.RLock()
	dropped := maps.Clone(t.mu.dropped)
	t.mu.RUnlock()
	start := len(dst)
	length := snapshotHeadLen + snapshotDropLen*len(dropped) + snapshotQueueLen*len(queues) + crcLen
	dst = slices.Grow(dst, length)
	dst = append(dst, snapshotMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(length))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(dropped)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(queues)))
	for _, topic := range slices.Sorted(maps.Keys(dropped)) {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(topic))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(dropped[topic]))
	}
	for _, q := range queues {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.Queue.Topic))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(q.Queue.ID))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.First))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.Next))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.LastStoreTime))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(q.Current))
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// DecodeSnapshot returns a table whose oldest local segment starts at base, with the queues of the snapshot at the head of src,
// and the rest of src. Replay of the local segments gives it its entries. It fails with message.ErrCorrupt.
func DecodeSnapshot(src []byte, base message.Position) (*Table, []byte, error) {
	corrupt := func(what string) (*Table, []byte, error) {
		return nil, nil, fmt.Errorf("%w: snapshot of a consumeQueue: %s", message.ErrCorrupt, what)
	}
	if len(src) < snapshotHeadLen+crcLen || string(src[:4]) != snapshotMagic ||
		binary.LittleEndian.Uint16(src[4:]) != snapshotVersion || binary.LittleEndian.Uint16(src[6:]) != 0 {
		return corrupt("head")
	}
	length := binary.LittleEndian.Uint64(src[8:])
	drops, queues := uint64(binary.LittleEndian.Uint32(src[16:])), uint64(binary.LittleEndian.Uint32(src[20:]))
	if length > uint64(len(src)) || length != snapshotHeadLen+snapshotDropLen*drops+snapshotQueueLen*queues+crcLen {
		return corrupt("length")
	}
	body, rest := src[:length-crcLen], src[length:]
	if binary.LittleEndian.Uint32(src[len(body):]) != crc32.Checksum(body, castagnoli) {
		return corrupt("checksum")
	}
	t := NewTable(base)
	b := body[snapshotHeadLen:]
	lastTopic := message.TopicID(0)
	for i := range drops {
		topic := message.TopicID(binary.LittleEndian.Uint64(b))
		if i > 0 && topic <= lastTopic {
			return corrupt("dropped topics")
		}
		lastTopic = topic
		t.mu.dropped[topic] = message.Position(binary.LittleEndian.Uint64(b[8:]))
		b = b[snapshotDropLen:]
	}
	var last message.Queue
	for i := range queues {
		s := State{
			Queue: message.Queue{
				Topic: message.TopicID(binary.LittleEndian.Uint64(b)),
				ID:    message.QueueID(binary.LittleEndian.Uint32(b[8:])),
			},
			First:         message.Offset(binary.LittleEndian.Uint64(b[12:])),
			Next:          message.Offset(binary.LittleEndian.Uint64(b[20:])),
			LastStoreTime: int64(binary.LittleEndian.Uint64(b[28:])),
			Current:       message.Position(binary.LittleEndian.Uint64(b[36:])),
		}
		if s.First < 0 || s.Next < s.First || s.Next > maxOffset || !s.known() || i > 0 && compareQueues(last, s.Queue) >= 0 {
			return corrupt("queue")
		}
		last = s.Queue
		t.Restore(s)
		b = b[snapshotQueueLen:]
	}
	return t, rest, nil
}

// Dump writes the queues and their local entries as canonical text.
func (t *Table) Dump(w io.Writer) error {
	b := bufio.NewWriter(w)
	var entries []message.Entry
	for _, s := range t.Queues() {
		_, _ = fmt.Fprintf(b, "queue %s first=%d local=%d next=%d last=%d current=%d\n",
			s.Queue, s.First, s.FirstLocal, s.Next, s.LastStoreTime, uint64(s.Current))
		for from := max(s.First, s.FirstLocal); from < s.Next; from += message.Offset(len(entries)) {
			var err error
			entries, err = t.Range(entries[:0], s.Queue, from, min(readSpan, int(s.Next-from)))
			if err != nil {
				return fmt.Errorf("dump queue %s: %w", s.Queue, err)
			}
			if len(entries) == 0 {
				return fmt.Errorf("dump queue %s: no entry at %d", s.Queue, from)
			}
			for i, e := range entries {
				_, _ = fmt.Fprintf(b, "  %d position=%d size=%d tag=%08x order=%016x\n",
					from+message.Offset(i), uint64(e.Position), e.Size, e.TagHash, e.OrderKey)
			}
		}
	}
	return b.Flush() // a bufio.Writer keeps its first error
}
