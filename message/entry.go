package message

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// EntryLen is the size in bytes of a consumeQueue entry.
const EntryLen = 24

// Entry finds one message of a queue and lets a reader choose among them without touching a body.
//
//	0          8      12         16          24
//	┌──────────┬──────┬──────────┬───────────┐   little-endian
//	│ position │ size │ tag hash │ order key │
//	└──────────┴──────┴──────────┴───────────┘
type Entry struct {
	Position Position
	Size     uint32 // of the whole record, envelope included, in bytes
	TagHash  uint32 // [TagHash] of the tag, 0 without one
	OrderKey uint64 // [OrderKey] of the message group or lite topic, 0 without one
}

// AppendTo appends the entry's 24 bytes.
func (e Entry) AppendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Position))
	dst = binary.LittleEndian.AppendUint32(dst, e.Size)
	dst = binary.LittleEndian.AppendUint32(dst, e.TagHash)
	return binary.LittleEndian.AppendUint64(dst, e.OrderKey)
}

// DecodeEntry decodes the entry at the head of src; it fails with [ErrCorrupt] if src is too short.
func DecodeEntry(src []byte) (Entry, error) {
	if len(src) < EntryLen {
		return Entry{}, fmt.Errorf("%w: consumeQueue entry in %d bytes", ErrCorrupt, len(src))
	}
	return Entry{
		Position: Position(binary.LittleEndian.Uint64(src)),
		Size:     binary.LittleEndian.Uint32(src[8:]),
		TagHash:  binary.LittleEndian.Uint32(src[12:]),
		OrderKey: binary.LittleEndian.Uint64(src[16:]),
	}, nil
}

// TagHash is Java's String.hashCode of the tag, over its UTF-16 units: what RocketMQ keeps in its
// consumeQueue. Different tags may share a hash, so a filter compares the text as well.
func TagHash(tag string) uint32 {
	var h uint32
	for _, r := range tag {
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + uint32(0xd800+(r>>10))
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + uint32(r)
	}
	return h
}

// OrderKey is the xxhash64 of a message group or lite topic; 0 for the empty name.
func OrderKey(name string) uint64 {
	if name == "" {
		return 0
	}
	return xxhash.Sum64String(name)
}

// IndexKey is the hash under which the index finds a message of a topic by a key or by its message id:
// xxhash64 over the topic id, little-endian, a kind byte ('k' or 'i') and the text.
func IndexKey(topic TopicID, kind IndexKind, text string) uint64 {
	var head [9]byte
	binary.LittleEndian.PutUint64(head[:], uint64(topic))
	head[8] = byte(kind)
	d := xxhash.New()
	_, _ = d.Write(head[:])
	_, _ = d.WriteString(text)
	return d.Sum64()
}

// IndexKind says what an index key was made of.
type IndexKind byte

// The index kinds.
const (
	IndexByKey IndexKind = 'k'
	IndexByID  IndexKind = 'i'
)
