package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"
	"unicode/utf8"
)

// ErrInvalid says that a message cannot be stored as it is: a name or a text that its layout has
// no room for, or a property that would break the others.
var ErrInvalid = errors.New("invalid message")

// Message is a message as it is stored: the body of a [RecordMessage], [RecordHalf] or
// [RecordTimer] is one, encoded. The layout is RocketMQ's.
//
//	┌────────────┬───────┬──────────┬──────────┬──────┬──────────────┬─────────────────┬──────────┐
//	│ total size │ magic │ body CRC │ queue id │ flag │ queue offset │ physical offset │ sys flag │
//	├───────────┬┴───────┴──┬───────┴────┬─────┴──────┴───────────┬──┴──────────────┬──┴──────────┤
//	│ born time │ born host │ store time │ store host             │ reconsume times │ prepared    │
//	│ 8         │ 4│16 + 4  │ 8          │ 4│16 + 4               │ 4               │ offset 8    │
//	├───────────┴─┬─────────┴────────────┴──┬─────────────────────┴─────────────────┴─────────────┤
//	│ length, body│ length (V1 u8, V2 u16), │ length u16, properties                              │
//	│ 4 + n       │ topic                   │                                                     │
//	└─────────────┴─────────────────────────┴─────────────────────────────────────────────────────┘
//
// It is big-endian; the first row is 4 + 4 + 4 + 4 + 4 + 8 + 8 + 4 bytes. A host is an address, of
// 16 bytes where a bit of the sys flag says IPv6, and a port of 4. Topics of up to 127 bytes use V1,
// which every client can read, longer ones V2.
type Message struct {
	Topic string // 1 to 32,767 bytes of UTF-8; above 127 not every client can read the message
	Queue Queue  // of its topic id only the envelope knows

	Offset         Offset // in the queue; 0 for half and timer records, which have none yet
	PhysicalOffset int64  // [PhysicalOffset] of its shard and position

	Body    []byte
	BodyCRC uint32 // [BodyCRC] of Body; whoever builds the message computes it, encoding only copies

	Flag    int32 // the producer's, for its own use
	SysFlag int32 // SysFlag… bits; encoding sets the two of the hosts itself

	BornTime  int64 // Unix milliseconds by the producer's clock
	StoreTime int64 // Unix milliseconds by the shard's clock
	BornHost  netip.AddrPort
	StoreHost netip.AddrPort

	ReconsumeTimes int32 // deliveries before this one that failed
	PreparedOffset int64 // of a committed transaction: where its half message was

	Properties []byte // joined by [AppendProperty]; at most 32,767 bytes
}

// Bits of a sys flag.
const (
	SysFlagCompressed    = 0x1   // the body is compressed
	SysFlagTransaction   = 0xc   // mask of the three values below
	SysFlagPrepared      = 0x4   // a half message
	SysFlagCommit        = 0x8   // a committed transaction
	SysFlagRollback      = 0xc   // a transaction rolled back
	SysFlagBornHostIPv6  = 0x10  // the born host has 16 bytes
	SysFlagStoreHostIPv6 = 0x20  // the store host has 16 bytes
	SysFlagCompression   = 0x700 // mask of the compression: 0 and 0x300 zlib, 0x100 LZ4, 0x200 zstd
)

// The layout's magic numbers.
const (
	storedMagicV1 = 0xdaa320a7
	storedMagicV2 = 0xdaa320ab
)

// Where the fields of the head are, up to the first one whose size depends on the sys flag.
const (
	storedMagicAt    = 4
	storedBodyCRCAt  = 8
	storedQueueIDAt  = 12
	storedFlagAt     = 16
	storedOffsetAt   = 20
	storedPhysicalAt = 28
	storedSysFlagAt  = 36
	storedBornTimeAt = 40
	storedBornHostAt = 48
)

const (
	ipv4HostLen      = 4 + 4
	ipv6HostLen      = 16 + 4
	storedFixedLen   = 91                         // bytes of a V1 message with IPv4 hosts and without any text
	maxStoredTopicV1 = math.MaxInt8               // bytes
	maxStoredText    = math.MaxInt16              // bytes of a V2 topic, and of properties
	maxStoredLen     = MaxRecordLen - EnvelopeLen // bytes of a whole stored message
)

// BodyCRC is the checksum that a stored message carries of its body: CRC-32 (IEEE) without the
// top bit.
func BodyCRC(body []byte) uint32 { return crc32.ChecksumIEEE(body) & math.MaxInt32 }

// Check tells whether the layout has room for m; it fails with [ErrInvalid]. Messages that come
// from outside are checked before they are encoded.
func (m *Message) Check() error {
	switch {
	case m.Topic == "" || len(m.Topic) > maxStoredText || !utf8.ValidString(m.Topic):
		return fmt.Errorf("%w: topic of %d bytes", ErrInvalid, len(m.Topic))
	case len(m.Properties) > maxStoredText:
		return fmt.Errorf("%w: properties of %d bytes, at most %d", ErrInvalid, len(m.Properties), maxStoredText)
	case m.StoredLen() > maxStoredLen:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, m.StoredLen(), maxStoredLen)
	case m.Queue.ID > math.MaxInt32:
		return fmt.Errorf("%w: queue %d", ErrInvalid, m.Queue.ID)
	}
	return nil
}

// StoredLen returns the size in bytes of m encoded.
func (m *Message) StoredLen() int {
	n := storedFixedLen + len(m.Body) + len(m.Topic) + len(m.Properties)
	if len(m.Topic) > maxStoredTopicV1 {
		n++
	}
	if isIPv6(m.BornHost) {
		n += ipv6HostLen - ipv4HostLen
	}
	if isIPv6(m.StoreHost) {
		n += ipv6HostLen - ipv4HostLen
	}
	return n
}

// AppendStored appends m encoded, with one copy of its body. A message that [Message.Check] refuses
// must not get here. Hosts that are not set become 0.0.0.0; zones are dropped.
func (m *Message) AppendStored(dst []byte) []byte {
	sysFlag := uint32(m.SysFlag) &^ (SysFlagBornHostIPv6 | SysFlagStoreHostIPv6)
	if isIPv6(m.BornHost) {
		sysFlag |= SysFlagBornHostIPv6
	}
	if isIPv6(m.StoreHost) {
		sysFlag |= SysFlagStoreHostIPv6
	}
	magic := uint32(storedMagicV1)
	if len(m.Topic) > maxStoredTopicV1 {
		magic = storedMagicV2
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.StoredLen()))
	dst = binary.BigEndian.AppendUint32(dst, magic)
	dst = binary.BigEndian.AppendUint32(dst, m.BodyCRC)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.Queue.ID))
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.Flag))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.PhysicalOffset))
	dst = binary.BigEndian.AppendUint32(dst, sysFlag)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.BornTime))
	dst = appendHost(dst, m.BornHost)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.StoreTime))
	dst = appendHost(dst, m.StoreHost)
	dst = binary.BigEndian.AppendUint32(dst, uint32(m.ReconsumeTimes))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.PreparedOffset))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.Body)))
	dst = append(dst, m.Body...)
	if magic == storedMagicV1 {
		dst = append(dst, byte(len(m.Topic)))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Topic)))
	}
	dst = append(dst, m.Topic...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.Properties)))
	return append(dst, m.Properties...)
}

// RecordLen returns the size in bytes of a whole record of m.
func (m *Message) RecordLen() int { return EnvelopeLen + m.StoredLen() }

// AppendRecord appends a whole record of m: the envelope with the topic id of m.Queue, and m encoded
// as by [Message.AppendStored].
func (m *Message) AppendRecord(dst []byte, t RecordType) []byte {
	return m.AppendStored(AppendEnvelope(dst, t, 0, m.Queue.Topic, m.StoredLen()))
}

// PatchStored stamps an encoded message in place with what it gets when it is appended: its offset,
// its physical offset and its store time. Stored must be whole, as [Message.AppendStored] wrote it.
func PatchStored(stored []byte, offset Offset, physicalOffset, storeTime int64) {
	binary.BigEndian.PutUint64(stored[storedOffsetAt:], uint64(offset))
	binary.BigEndian.PutUint64(stored[storedPhysicalAt:], uint64(physicalOffset))
	binary.BigEndian.PutUint64(stored[Stored(stored).storeTimeAt():], uint64(storeTime))
}

// isIPv6 tells whether a host needs 16 bytes.
func isIPv6(host netip.AddrPort) bool { return host.Addr().Is6() && !host.Addr().Is4In6() }

func appendHost(dst []byte, host netip.AddrPort) []byte {
	switch addr := host.Addr(); {
	case isIPv6(host):
		ip := addr.As16()
		dst = append(dst, ip[:]...)
	case addr.IsValid():
		ip := addr.Unmap().As4()
		dst = append(dst, ip[:]...)
	default:
		dst = append(dst, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(host.Port()))
}
