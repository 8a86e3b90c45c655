package message

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// idEpoch is when the seconds of a message id start, 2021-01-01T00:00:00Z.
const idEpoch = 1609459200

// IDSource makes message ids of RocketMQ's form, for messages whose sender brings none:
//
//	0         1                7                   9         13         17
//	┌─────────┬────────────────┬───────────────────┬─────────┬──────────┐   big-endian,
//	│ 1, form │ random (a MAC) │ random (a process)│ seconds │ sequence │   as 34 hexadecimal digits
//	└─────────┴────────────────┴───────────────────┴─────────┴──────────┘
//
// Machine and process are 64 random bits instead, drawn once: two containers may share both.
// Ids are otherwise opaque; nobody takes one apart. An IDSource is for concurrent use.
type IDSource struct {
	now      func() time.Time
	process  [8]byte
	sequence atomic.Uint32
}

// NewIDSource returns a source with an identity drawn from random, which it does not keep.
func NewIDSource(now func() time.Time, random *rand.Rand) *IDSource {
	s := &IDSource{now: now}
	binary.BigEndian.PutUint64(s.process[:], random.Uint64())
	return s
}

// Next returns an id that this source has not returned before: the sequence tells 2³² ids of one
// second apart.
func (s *IDSource) Next() string {
	var id [17]byte
	id[0] = 1
	copy(id[1:], s.process[:])
	binary.BigEndian.PutUint32(id[9:], uint32(s.now().Unix()-idEpoch))
	binary.BigEndian.PutUint32(id[13:], s.sequence.Add(1)-1)
	return strings.ToUpper(hex.EncodeToString(id[:]))
}
