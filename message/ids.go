package message

import (
	"fmt"
	"strconv"
)

// TopicID names one incarnation of a topic for ever; a topic deleted and made anew gets another.
// Zero is no topic: records that belong to none carry it.
type TopicID uint64

// String returns the id as 16 hexadecimal digits, so that ids sort as text.
func (id TopicID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// QueueID numbers a queue of a topic, 0 … N-1 for the whole cluster.
type QueueID uint32

// Offset numbers a message in its queue, from 0, without holes.
type Offset int64

// Position is a byte offset in a shard's log, never reused. A record's position is that of its envelope.
type Position uint64

// String returns the position as 20 decimal digits, so that positions sort as text.
func (p Position) String() string { return fmt.Sprintf("%020d", uint64(p)) }

// ShardID numbers a shard for ever; the upper 16 bits of a RocketMQ physical offset.
type ShardID uint16

// String returns the id as five decimal digits, so that ids sort as text.
func (id ShardID) String() string { return fmt.Sprintf("%05d", uint16(id)) }

// Epoch numbers a term of a shard's leader; every start is a new one. Zero is before the first.
type Epoch uint32

// String returns the epoch as ten decimal digits, so that epochs sort as text.
func (e Epoch) String() string { return fmt.Sprintf("%010d", uint32(e)) }

// SegmentID is the random identity of one segment file, never shown to a client.
type SegmentID uint64

// String returns the id as 16 hexadecimal digits.
func (id SegmentID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// Queue names one queue of one topic.
type Queue struct {
	Topic TopicID
	ID    QueueID
}

// String returns topic and queue, "00000000000000a1/3".
func (q Queue) String() string { return q.Topic.String() + "/" + strconv.Itoa(int(q.ID)) }

// positionBits is how much of a position a physical offset keeps.
const positionBits = 47

// PhysicalOffset joins shard and position to RocketMQ's cluster-wide physical offset. The upper
// bits of a position above 128 TiB are lost: a lookup takes the newest position with those bits.
func PhysicalOffset(shard ShardID, p Position) int64 {
	return int64(uint64(shard)<<positionBits | uint64(p)&(1<<positionBits-1))
}
