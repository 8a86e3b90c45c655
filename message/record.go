package message

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt says that stored bytes do not decode. It is never the answer to a client's input.
var ErrCorrupt = errors.New("corrupt")

// RecordType says what a record of the log is. The numbers are part of the disk format.
type RecordType uint8

// The record types. Those of later steps have their number already, so that nobody has to move.
const (
	RecordInvalid      RecordType = 0
	RecordMessage      RecordType = 1  // a message that has its offset
	RecordHalf         RecordType = 2  // a half message, without an offset yet
	RecordTimer        RecordType = 3  // a delayed message, without an offset yet
	RecordLease        RecordType = 4  // messages handed to a consumer
	RecordSettle       RecordType = 5  // messages acknowledged, or filtered out
	RecordVisibility   RecordType = 6  // a lease's deadline moved: change of invisible time, nack, release
	RecordCommit       RecordType = 7  // a group's offset committed or reset
	RecordDeadLetter   RecordType = 8  // a message left its queue; its copy stands in the same frame
	RecordEpochStart   RecordType = 9  // a leader began
	RecordGroupCreate  RecordType = 10 // a group's generation began
	RecordGroupDelete  RecordType = 11 // a group's generation ended
	RecordTopicDelete  RecordType = 12 // a topic id ended on this shard
	RecordTransaction  RecordType = 13 // a half message ended; a committed copy stands in the same frame
	RecordTimerEnd     RecordType = 14 // a timer fired or was canceled; a fired copy stands in the same frame
	RecordFirstOffset  RecordType = 15 // retention moved the first offset of queues
	RecordShardClosing RecordType = 16 // the last record before a handover
	recordTypeEnd      RecordType = 17
)

var recordTypeNames = [...]string{
	"invalid", "message", "half", "timer", "lease", "settle", "visibility", "commit", "dead-letter", "epoch-start",
	"group-create", "group-delete", "topic-delete", "transaction", "timer-end", "first-offset", "shard-closing",
}

// String returns the type's name, or its number if it has none.
func (t RecordType) String() string {
	if int(t) < len(recordTypeNames) {
		return recordTypeNames[t]
	}
	return fmt.Sprintf("record-type-%d", uint8(t))
}

// EnvelopeLen is the size in bytes of a record's envelope.
const EnvelopeLen = 16

// MaxRecordLen bounds a whole record: a frame holds one atomic step of at most 16 MiB.
const MaxRecordLen = 16 << 20

// Record is one entry of a log.
//
//	0      1       2          4        8          16         8+8+n
//	┌──────┬───────┬──────────┬────────┬──────────┬──────────┐   little-endian
//	│ type │ flags │ reserved │ length │ topic id │ body (n) │   length = 16 + n
//	└──────┴───────┴──────────┴────────┴──────────┴──────────┘
//
// It has no checksum of its own: the frame's and the block's cover it.
type Record struct {
	Type  RecordType
	Flags uint8 // zero so far
	Topic TopicID
	Body  []byte
}

// AppendEnvelope appends the envelope of a record with a body of n bytes.
func AppendEnvelope(dst []byte, t RecordType, flags uint8, topic TopicID, n int) []byte {
	dst = append(dst, byte(t), flags, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(EnvelopeLen+n))
	return binary.LittleEndian.AppendUint64(dst, uint64(topic))
}

// AppendTo appends the record's bytes.
func (r Record) AppendTo(dst []byte) []byte {
	return append(AppendEnvelope(dst, r.Type, r.Flags, r.Topic, len(r.Body)), r.Body...)
}

// DecodeRecord decodes the record at the head of src and returns its whole length in bytes.
// The record's body aliases src. It fails with [ErrCorrupt].
func DecodeRecord(src []byte) (Record, int, error) {
	if len(src) < EnvelopeLen {
		return Record{}, 0, fmt.Errorf("%w: record envelope in %d bytes", ErrCorrupt, len(src))
	}
	n := binary.LittleEndian.Uint32(src[4:])
	t := RecordType(src[0])
	if n < EnvelopeLen || n > MaxRecordLen || int(n) > len(src) {
		return Record{}, 0, fmt.Errorf("%w: record length %d in %d bytes", ErrCorrupt, n, len(src))
	}
	if t == RecordInvalid || t >= recordTypeEnd || src[2] != 0 || src[3] != 0 {
		return Record{}, 0, fmt.Errorf("%w: record type %d", ErrCorrupt, t)
	}
	return Record{
		Type:  t,
		Flags: src[1],
		Topic: TopicID(binary.LittleEndian.Uint64(src[8:])),
		Body:  src[EnvelopeLen:n:n],
	}, int(n), nil
}
