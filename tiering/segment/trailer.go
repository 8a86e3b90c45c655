package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

const (
	trailerMagic   = 0x4c41455341525453 // "STRASEAL"
	trailerVersion = 1

	// TrailerLen is the size in bytes of the trailer, the end of every sealed object.
	TrailerLen = 300

	sectionLen   = 24
	sectionSlots = 8
)

// SectionKind numbers the places of the trailer's table of sections. The numbers are part of the format.
type SectionKind int

// The sections, in the order in which they lie in an object. Slots 5 to 7 are free: a directory of the pending class and
// dictionaries come there.
const (
	SectionBlocks    SectionKind = 0
	SectionColumns   SectionKind = 1
	SectionPostings  SectionKind = 2
	SectionFences    SectionKind = 3
	SectionDirectory SectionKind = 4
	sectionEnd       SectionKind = 5
)

var sectionNames = [...]string{"blocks", "columns", "postings", "fences", "directory"}

// String returns the section's name.
func (k SectionKind) String() string {
	if k >= 0 && k < sectionEnd {
		return sectionNames[k]
	}
	return fmt.Sprintf("section-%d", int(k))
}

// Section is a part of an object.
type Section struct {
	Position int64 // bytes
	Length   int64 // bytes
	CRC32C   uint32
}

// Trailer says what a sealed object is and where its parts lie.
//
//	0       8         10      11      12      16      18         20      24          32        40
//	┌───────┬─────────┬───────┬───────┬───────┬───────┬──────────┬───────┬───────────┬─────────┐
//	│ magic │ version │ class │ codec │ flags │ shard │ reserved │ epoch │ log start │ log end │
//	└───────┴─────────┴───────┴───────┴───────┴───────┴──────────┴───────┴───────────┴─────────┘
//	40         48         56        64       68       72         80          88                     280        296     300
//	┌──────────┬──────────┬─────────┬────────┬────────┬──────────┬───────────┬──────────────────────┬──────────┬────────┐
//	│ min time │ max time │ records │ blocks │ queues │ postings │ raw bytes │ 8 × section (24)     │ reserved │ crc32c │
//	└──────────┴──────────┴─────────┴────────┴────────┴──────────┴───────────┴──────────────────────┴──────────┴────────┘
//
//	section: position u64, length u64, crc32c u32, reserved u32
//
// Only fences and directory have a checksum in their section: the others' parts carry their own. Flags are zero so far. The
// last checksum is over everything before it.
type Trailer struct {
	Class    Class
	Codec    Codec // that was asked for; a block that did not shrink is stored as it was
	Flags    uint32
	Shard    message.ShardID
	Epoch    message.Epoch    // of the leader that sealed
	LogStart message.Position // the sealed range of the log, [LogStart, LogEnd), of all classes
	LogEnd   message.Position
	MinTime  int64 // store times, milliseconds since 1970; 0 without records
	MaxTime  int64
	Records  uint64
	Blocks   uint32
	Queues   uint32
	Postings uint64
	RawBytes uint64 // of all records, before compression
	Sections [sectionEnd]Section
}

// AppendTo appends the trailer's bytes.
func (t Trailer) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, trailerMagic)
	dst = binary.LittleEndian.AppendUint16(dst, trailerVersion)
	dst = append(dst, byte(t.Class), byte(t.Codec))
	dst = binary.LittleEndian.AppendUint32(dst, t.Flags)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(t.Shard))
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(t.Epoch))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.LogStart))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.LogEnd))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.MinTime))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(t.MaxTime))
	dst = binary.LittleEndian.AppendUint64(dst, t.Records)
	dst = binary.LittleEndian.AppendUint32(dst, t.Blocks)
	dst = binary.LittleEndian.AppendUint32(dst, t.Queues)
	dst = binary.LittleEndian.AppendUint64(dst, t.Postings)
	dst = binary.LittleEndian.AppendUint64(dst, t.RawBytes)
	for _, s := range t.Sections {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Position))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Length))
		dst = binary.LittleEndian.AppendUint32(dst, s.CRC32C)
		dst = append(dst, 0, 0, 0, 0)
	}
	dst = append(dst, make([]byte, start+TrailerLen-crcLen-len(dst))...)
	return binary.LittleEndian.AppendUint32(dst, tiering.Checksum(dst[start:]))
}

// DecodeTrailer decodes the trailer that ends src, where size is that of the whole object in bytes. It fails with
// [message.ErrCorrupt].
func DecodeTrailer(src []byte, size int64) (Trailer, error) {
	if len(src) < TrailerLen || size < int64(len(src)) {
		return Trailer{}, fmt.Errorf("%w: trailer in %d bytes of an object of %d", message.ErrCorrupt, len(src), size)
	}
	src = src[len(src)-TrailerLen:]
	if magic, version := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint16(src[8:]); magic != trailerMagic || version != trailerVersion {
		return Trailer{}, fmt.Errorf("%w: trailer magic %016x version %d", message.ErrCorrupt, magic, version)
	}
	want := binary.LittleEndian.Uint32(src[TrailerLen-crcLen:])
	if got := tiering.Checksum(src[:TrailerLen-crcLen]); got != want {
		return Trailer{}, fmt.Errorf("%w: trailer has CRC32C %08x, not %08x", message.ErrCorrupt, got, want)
	}
	t := Trailer{
		Class:    Class(src[10]),
		Codec:    Codec(src[11]),
		Flags:    binary.LittleEndian.Uint32(src[12:]),
		Shard:    message.ShardID(binary.LittleEndian.Uint16(src[16:])),
		Epoch:    message.Epoch(binary.LittleEndian.Uint32(src[20:])),
		LogStart: message.Position(binary.LittleEndian.Uint64(src[24:])),
		LogEnd:   message.Position(binary.LittleEndian.Uint64(src[32:])),
		MinTime:  int64(binary.LittleEndian.Uint64(src[40:])),
		MaxTime:  int64(binary.LittleEndian.Uint64(src[48:])),
		Records:  binary.LittleEndian.Uint64(src[56:]),
		Blocks:   binary.LittleEndian.Uint32(src[64:]),
		Queues:   binary.LittleEndian.Uint32(src[68:]),
		Postings: binary.LittleEndian.Uint64(src[72:]),
		RawBytes: binary.LittleEndian.Uint64(src[80:]),
	}
	if t.Flags != 0 {
		return Trailer{}, fmt.Errorf("%w: object with flags %x, which this version cannot read", message.ErrCorrupt, t.Flags)
	}
	next := int64(0)
	for kind := range t.Sections {
		s := src[88+kind*sectionLen:]
		t.Sections[kind] = Section{
			Position: int64(binary.LittleEndian.Uint64(s)),
			Length:   int64(binary.LittleEndian.Uint64(s[8:])),
			CRC32C:   binary.LittleEndian.Uint32(s[16:]),
		}
		if at := t.Sections[kind]; at.Position != next || at.Length < 0 || at.Length > size-next {
			return Trailer{}, fmt.Errorf("%w: %v at [%d, +%d) of %d bytes", message.ErrCorrupt, SectionKind(kind), at.Position, at.Length, size)
		}
		next += t.Sections[kind].Length
	}
	if next != size-TrailerLen {
		return Trailer{}, fmt.Errorf("%w: sections end at %d of %d bytes", message.ErrCorrupt, next, size)
	}
	return t, nil
}
