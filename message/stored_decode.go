package message

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"unicode/utf8"
)

// DecodeStored decodes a message that fills src. Body and properties of the result alias src; the
// topic is a copy, and the topic id is left zero. It fails with [ErrCorrupt]. The body's CRC is not
// computed: frames and blocks have checksums of their own over everything.
func DecodeStored(src []byte) (Message, error) {
	var m Message
	err := DecodeStoredInto(&m, src)
	return m, err
}

// DecodeStoredInto is [DecodeStored] into a message that is used again and again: every field is
// overwritten, and a topic whose text is the same is kept, so that nothing is allocated. After an
// error m is as it was.
func DecodeStoredInto(m *Message, src []byte) error {
	l, err := storedLayoutOf(src)
	if err != nil {
		return err
	}
	bornHost, ok := decodeHost(src[storedBornHostAt:l.bornHostEnd])
	if !ok {
		return fmt.Errorf("%w: born host %x", ErrCorrupt, src[storedBornHostAt:l.bornHostEnd])
	}
	storeHost, ok := decodeHost(src[l.storeHost:l.storeHostEnd])
	if !ok {
		return fmt.Errorf("%w: store host %x", ErrCorrupt, src[l.storeHost:l.storeHostEnd])
	}
	topic := src[l.topic:l.topicEnd]
	if m.Topic != string(topic) {
		if !utf8.Valid(topic) {
			return fmt.Errorf("%w: topic %q", ErrCorrupt, topic)
		}
		m.Topic = string(topic)
	}
	s := Stored(src)
	m.Queue = Queue{ID: s.QueueID()}
	m.Offset = s.Offset()
	m.PhysicalOffset = s.PhysicalOffset()
	m.Body = src[l.body:l.bodyEnd:l.bodyEnd]
	m.BodyCRC = binary.BigEndian.Uint32(src[storedBodyCRCAt:])
	m.Flag = int32(binary.BigEndian.Uint32(src[storedFlagAt:]))
	m.SysFlag = s.SysFlag()
	m.BornTime = s.BornTime()
	m.StoreTime = s.StoreTime()
	m.BornHost, m.StoreHost = bornHost, storeHost
	m.ReconsumeTimes = int32(binary.BigEndian.Uint32(src[l.storeHostEnd:]))
	m.PreparedOffset = int64(binary.BigEndian.Uint64(src[l.storeHostEnd+4:]))
	m.Properties = src[l.properties:len(src):len(src)]
	return nil
}

// CheckStored tells whether src is a whole stored message, without decoding it; it fails with
// [ErrCorrupt].
func CheckStored(src []byte) error {
	_, err := storedLayoutOf(src)
	return err
}

// Stored is an encoded message whose fields are read one at a time. It must be what
// [Message.AppendStored] wrote or [CheckStored] accepted; its methods panic or lie about other bytes.
// What they return aliases it.
type Stored []byte

// QueueID returns the queue's number.
func (s Stored) QueueID() QueueID { return QueueID(binary.BigEndian.Uint32(s[storedQueueIDAt:])) }

// Offset returns the offset in the queue.
func (s Stored) Offset() Offset { return Offset(binary.BigEndian.Uint64(s[storedOffsetAt:])) }

// PhysicalOffset returns the physical offset.
func (s Stored) PhysicalOffset() int64 {
	return int64(binary.BigEndian.Uint64(s[storedPhysicalAt:]))
}

// SysFlag returns the sys flag.
func (s Stored) SysFlag() int32 { return int32(binary.BigEndian.Uint32(s[storedSysFlagAt:])) }

// BornTime returns the producer's time in Unix milliseconds.
func (s Stored) BornTime() int64 { return int64(binary.BigEndian.Uint64(s[storedBornTimeAt:])) }

// StoreTime returns the shard's time in Unix milliseconds.
func (s Stored) StoreTime() int64 { return int64(binary.BigEndian.Uint64(s[s.storeTimeAt():])) }

// Body returns the body.
func (s Stored) Body() []byte {
	at := s.bodyAt()
	return s[at:s.topicLenAt():s.topicLenAt()]
}

// Topic returns the topic.
func (s Stored) Topic() []byte {
	at, n := s.topicAt()
	return s[at : at+n : at+n]
}

// Properties returns the joined properties.
func (s Stored) Properties() []byte {
	at, n := s.topicAt()
	return s[at+n+2 : len(s) : len(s)]
}

func (s Stored) storeTimeAt() int {
	return storedBornHostAt + hostLen(s.SysFlag()&SysFlagBornHostIPv6 != 0)
}

// bodyAt returns where the body begins, behind its length.
func (s Stored) bodyAt() int {
	return s.storeTimeAt() + 8 + hostLen(s.SysFlag()&SysFlagStoreHostIPv6 != 0) + 4 + 8 + 4
}

func (s Stored) topicLenAt() int {
	at := s.bodyAt()
	return at + int(binary.BigEndian.Uint32(s[at-4:]))
}

// topicAt returns where the topic is and its size in bytes.
func (s Stored) topicAt() (at, n int) {
	at = s.topicLenAt()
	if binary.BigEndian.Uint32(s[storedMagicAt:]) == storedMagicV1 {
		return at + 1, int(s[at])
	}
	return at + 2, int(binary.BigEndian.Uint16(s[at:]))
}

// storedLayout says where the fields of variable place are in a stored message that was checked.
type storedLayout struct {
	bornHostEnd             int // where the store time begins
	storeHost, storeHostEnd int
	body, bodyEnd           int
	topic, topicEnd         int
	properties              int // up to the end
}

// storedLayoutOf checks every length in src and that they fill it. A topic that V1 has room for must
// be in V1: a message has one encoding.
func storedLayoutOf(src []byte) (storedLayout, error) {
	var l storedLayout
	if len(src) < storedFixedLen || len(src) > maxStoredLen {
		return l, fmt.Errorf("%w: stored message of %d bytes", ErrCorrupt, len(src))
	}
	if total := binary.BigEndian.Uint32(src); int64(total) != int64(len(src)) {
		return l, fmt.Errorf("%w: stored message says %d bytes and has %d", ErrCorrupt, total, len(src))
	}
	topicLenLen := 1
	switch magic := binary.BigEndian.Uint32(src[storedMagicAt:]); magic {
	case storedMagicV1:
	case storedMagicV2:
		topicLenLen = 2
	default:
		return l, fmt.Errorf("%w: stored message magic %08x", ErrCorrupt, magic)
	}
	s := Stored(src)
	l.bornHostEnd = s.storeTimeAt()
	l.storeHost = l.bornHostEnd + 8
	l.storeHostEnd = l.storeHost + hostLen(s.SysFlag()&SysFlagStoreHostIPv6 != 0)
	l.body = l.storeHostEnd + 4 + 8 + 4
	// What must still follow the head and the body, whatever the texts.
	rest := topicLenLen + 2
	if l.body+rest > len(src) {
		return l, fmt.Errorf("%w: stored message of %d bytes, its head %d", ErrCorrupt, len(src), l.body)
	}
	n := int64(binary.BigEndian.Uint32(src[l.body-4:]))
	if n > int64(len(src)-l.body-rest) {
		return l, fmt.Errorf("%w: body of %d bytes in a stored message of %d", ErrCorrupt, n, len(src))
	}
	l.bodyEnd = l.body + int(n)
	l.topic = l.bodyEnd + topicLenLen
	topicLen := int(src[l.bodyEnd])
	canonical := topicLen > 0 && topicLen <= maxStoredTopicV1
	if topicLenLen == 2 {
		topicLen = int(binary.BigEndian.Uint16(src[l.bodyEnd:]))
		canonical = topicLen > maxStoredTopicV1 && topicLen <= maxStoredText
	}
	l.topicEnd = l.topic + topicLen
	l.properties = l.topicEnd + 2
	if !canonical || l.properties > len(src) {
		return l, fmt.Errorf("%w: topic of %d bytes in a stored message of %d", ErrCorrupt, topicLen, len(src))
	}
	if n := int(binary.BigEndian.Uint16(src[l.topicEnd:])); n > maxStoredText || l.properties+n != len(src) {
		return l, fmt.Errorf("%w: properties of %d bytes, room for %d", ErrCorrupt, n, len(src)-l.properties)
	}
	return l, nil
}

func hostLen(ipv6 bool) int {
	if ipv6 {
		return ipv6HostLen
	}
	return ipv4HostLen
}

// decodeHost decodes address and port; it is not ok if the port is none, or if an IPv4 address has
// the 16 bytes of an IPv6 one.
func decodeHost(src []byte) (host netip.AddrPort, ok bool) {
	addr, _ := netip.AddrFromSlice(src[:len(src)-4])
	port := binary.BigEndian.Uint32(src[len(src)-4:])
	return netip.AddrPortFrom(addr, uint16(port)), port <= math.MaxUint16 && !addr.Is4In6()
}
