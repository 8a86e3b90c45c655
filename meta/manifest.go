package meta

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

const (
	headMagic   = 0x44414548 // "HEAD"
	headVersion = 1
	headLen     = 56
)

// EntryHash is the SHA-256 of a manifest entry's bytes; zero is the hash before the first entry.
type EntryHash [sha256.Size]byte

// HashEntry returns the hash of a manifest entry.
func HashEntry(entry []byte) EntryHash { return sha256.Sum256(entry) }

// String returns the hash as hexadecimal digits.
func (h EntryHash) String() string { return hex.EncodeToString(h[:]) }

// ManifestHead is the value of a shard in [BucketManifests]. It holds the whole newest entry of the
// shard's chain of sealed segments, so that moving it is what commits a seal.
//
//	0       4         6          8       12       16         24     56
//	┌───────┬─────────┬──────────┬───────┬────────┬──────────┬──────┬───────────┐
//	│ magic │ version │ reserved │ epoch │ length │ sequence │ hash │ entry (n) │   little-endian
//	└───────┴─────────┴──────────┴───────┴────────┴──────────┴──────┴───────────┘
//
// The entry's contents are the business of tiering; here it has a length (n) and a SHA-256.
type ManifestHead struct {
	LeaderEpoch message.Epoch // of the leader that may move the head; a lower one must not
	Sequence    uint64        // of Entry, from 1; 0 while there is none
	Hash        EntryHash     // of Entry; zero while there is none
	Entry       []byte        // the newest entry; empty while there is none
}

// WithEpoch returns the head as a new leader claims it.
func (h ManifestHead) WithEpoch(epoch message.Epoch) ManifestHead {
	h.LeaderEpoch = epoch
	return h
}

// WithEntry returns the head with the next entry. The entry must name h.Hash as its predecessor's.
func (h ManifestHead) WithEntry(entry []byte) ManifestHead {
	return ManifestHead{LeaderEpoch: h.LeaderEpoch, Sequence: h.Sequence + 1, Hash: HashEntry(entry), Entry: entry}
}

// AppendTo appends the encoded head.
func (h ManifestHead) AppendTo(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, headMagic)
	dst = binary.LittleEndian.AppendUint16(dst, headVersion)
	dst = binary.LittleEndian.AppendUint16(dst, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.LeaderEpoch))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(h.Entry)))
	dst = binary.LittleEndian.AppendUint64(dst, h.Sequence)
	dst = append(dst, h.Hash[:]...)
	return append(dst, h.Entry...)
}

// DecodeManifestHead decodes the whole of src and checks the entry's hash. The entry aliases src.
// It fails with [ErrDamaged].
func DecodeManifestHead(src []byte) (ManifestHead, error) {
	if len(src) < headLen {
		return ManifestHead{}, fmt.Errorf("%w: manifest head of %d bytes", ErrDamaged, len(src))
	}
	version, reserved := binary.LittleEndian.Uint16(src[4:]), binary.LittleEndian.Uint16(src[6:])
	if binary.LittleEndian.Uint32(src) != headMagic || version != headVersion || reserved != 0 {
		return ManifestHead{}, fmt.Errorf("%w: manifest head of version %d", ErrDamaged, version)
	}
	h := ManifestHead{
		LeaderEpoch: message.Epoch(binary.LittleEndian.Uint32(src[8:])),
		Sequence:    binary.LittleEndian.Uint64(src[16:]),
		Hash:        EntryHash(src[24:headLen]),
	}
	if n := binary.LittleEndian.Uint32(src[12:]); uint64(n) != uint64(len(src)-headLen) {
		return ManifestHead{}, fmt.Errorf("%w: manifest entry of %d bytes in %d", ErrDamaged, n, len(src))
	}
	if h.Sequence == 0 {
		if len(src) != headLen || h.Hash != (EntryHash{}) {
			return ManifestHead{}, fmt.Errorf("%w: manifest entry without a sequence", ErrDamaged)
		}
		return h, nil
	}
	h.Entry = src[headLen:len(src):len(src)]
	if got := HashEntry(h.Entry); got != h.Hash {
		return ManifestHead{}, fmt.Errorf("%w: manifest entry %d hashes to %s, stored %s", ErrDamaged, h.Sequence, got, h.Hash)
	}
	return h, nil
}
