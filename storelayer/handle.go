package storelayer

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/stratamq/stratamq/message"
)

// Handle is a receipt handle: the name of one delivery. It carries everything that any proxy needs to
// route it; there is no signature, since the store checks who may use it.
type Handle struct {
	Shard      message.ShardID
	Queue      message.Queue
	Offset     message.Offset
	Group      string
	Generation uint32        // of the group
	Epoch      message.Epoch // in which the lease was made
	Lease      uint64        // number of the lease, unique in its epoch
	Attempt    uint16        // 1 for the first delivery
	Deadline   int64         // Unix milliseconds; where the lease ended when the handle was made
}

const (
	handleVersion  = 1
	handleFixedLen = 1 + 2 + 8 + 4 + 8 + 4 + 4 + 8 + 2 + 8 + 1
	maxGroupLen    = 255
	handleMaxText  = (handleFixedLen+maxGroupLen+4)*4/3 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// String returns the handle as printable ASCII, base64 for URLs without padding over
//
//	┌─────────┬───────┬──────────┬───────┬────────┬────────────┬───────┬───────┬─────────┬──────────┬─────┬───────┬────────┐
//	│ version │ shard │ topic id │ queue │ offset │ generation │ epoch │ lease │ attempt │ deadline │ len │ group │ crc32c │
//	│ u8      │ u16   │ u64      │ u32   │ i64    │ u32        │ u32   │ u64   │ u16     │ i64      │ u8  │       │ u32    │
//	└─────────┴───────┴──────────┴───────┴────────┴────────────┴───────┴───────┴─────────┴──────────┴─────┴───────┴────────┘
//
// little-endian. A group of more than 255 bytes is a bug of the caller: names are checked at the edge.
func (h Handle) String() string {
	if len(h.Group) > maxGroupLen {
		panic("storelayer: group of a handle is too long")
	}
	b := make([]byte, 0, handleFixedLen+len(h.Group)+4)
	b = append(b, handleVersion)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.Shard))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Queue.Topic))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Queue.ID))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Offset))
	b = binary.LittleEndian.AppendUint32(b, h.Generation)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Epoch))
	b = binary.LittleEndian.AppendUint64(b, h.Lease)
	b = binary.LittleEndian.AppendUint16(b, h.Attempt)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Deadline))
	b = append(b, byte(len(h.Group)))
	b = append(b, h.Group...)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseHandle parses what String returned; anything else is ErrInvalidHandle.
func ParseHandle(s string) (Handle, error) {
	// The decoder passes over line breaks; a handle has none.
	if len(s) > handleMaxText || strings.ContainsAny(s, "\r\n") {
		return Handle{}, fmt.Errorf("%w: %d characters", ErrInvalidHandle, len(s))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < handleFixedLen+4 || b[0] != handleVersion {
		return Handle{}, fmt.Errorf("%w: not one of ours", ErrInvalidHandle)
	}
	sum := len(b) - 4
	if binary.LittleEndian.Uint32(b[sum:]) != crc32.Checksum(b[:sum], castagnoli) ||
		int(b[handleFixedLen-1]) != sum-handleFixedLen {
		return Handle{}, fmt.Errorf("%w: damaged", ErrInvalidHandle)
	}
	return Handle{
		Shard:      message.ShardID(binary.LittleEndian.Uint16(b[1:])),
		Queue:      message.Queue{Topic: message.TopicID(binary.LittleEndian.Uint64(b[3:])), ID: message.QueueID(binary.LittleEndian.Uint32(b[11:]))},
		Offset:     message.Offset(binary.LittleEndian.Uint64(b[15:])),
		Generation: binary.LittleEndian.Uint32(b[23:]),
		Epoch:      message.Epoch(binary.LittleEndian.Uint32(b[27:])),
		Lease:      binary.LittleEndian.Uint64(b[31:]),
		Attempt:    binary.LittleEndian.Uint16(b[39:]),
		Deadline:   int64(binary.LittleEndian.Uint64(b[41:])),
		Group:      string(b[handleFixedLen:sum]),
	}, nil
}
