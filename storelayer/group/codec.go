package group

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// The body of every record of a group begins with a head; the topic id is the envelope's.
//
//	0         1          2            6       10     10+n
//	┌─────────┬──────────┬────────────┬───────┬──────┬──────┐
//	│ version │ name len │ generation │ queue │ name │ rest │   little-endian; name len = n
//	│ u8 = 1  │ u8       │ u32        │ u32   │      │      │   queue is 0 where a record has none
//	└─────────┴──────────┴────────────┴───────┴──────┴──────┘
const (
	recordVersion = 1
	headLen       = 10
	maxNameLen    = 255

	maxOffset = message.Offset(1) << 62 // no queue comes near it; sums of offsets and counts stay in 64 bits
)

// head is the decoded head; its name aliases the record.
type head struct {
	name       []byte
	generation uint32
	queue      message.Queue
}

func (h head) key() Key { return Key{Name: string(h.name), Generation: h.generation} }

// appendHead appends the head of a record of a group. A name of more than 255 bytes is a bug of the caller: names
// are checked at the edge.
func appendHead(dst []byte, key Key, queue message.QueueID) []byte {
	if len(key.Name) > maxNameLen {
		panic("group: name of a group is too long")
	}
	dst = append(dst, recordVersion, byte(len(key.Name)))
	dst = binary.LittleEndian.AppendUint32(dst, key.Generation)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(queue))
	return append(dst, key.Name...)
}

func decodeHead(rec message.Record) (head, []byte, error) {
	b := rec.Body
	if len(b) < headLen || b[0] != recordVersion || len(b) < headLen+int(b[1]) {
		return head{}, nil, fmt.Errorf("%w: head of a %s record in %d bytes", message.ErrCorrupt, rec.Type, len(b))
	}
	end := headLen + int(b[1])
	return head{
		name:       b[headLen:end:end],
		generation: binary.LittleEndian.Uint32(b[2:]),
		queue:      message.Queue{Topic: rec.Topic, ID: message.QueueID(binary.LittleEndian.Uint32(b[6:]))},
	}, b[end:], nil
}

// Header reads whose a record is: one of type Lease, Settle, Visibility, Commit, DeadLetter, GroupCreate or GroupDelete.
// The name aliases the record. It fails with message.ErrCorrupt.
func Header(rec message.Record) (name []byte, generation uint32, err error) {
	h, _, err := decodeHead(rec)
	return h.name, h.generation, err
}

func corruptRest(rec message.Record, n int) error {
	return fmt.Errorf("%w: %d bytes behind the head of a %s record", message.ErrCorrupt, n, rec.Type)
}
