package segment

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

const (
	blockMagic   = 0x4b4c4253 // "SBLK"
	blockVersion = 1

	// BlockHeaderLen is the size in bytes of a block's header.
	BlockHeaderLen = 52

	// DefaultBlockSize is how many bytes of records a block takes: the unit of a read from the bucket.
	DefaultBlockSize = 256 << 10

	// maxRawLen bounds the records of a block, which are at most as long as one record may be.
	maxRawLen = message.MaxRecordLen
)

// BlockHeader begins a block: the records of one queue from one offset on.
//
//	0       4         5       6       8        12           16         24      28      32
//	┌───────┬─────────┬───────┬───────┬────────┬────────────┬──────────┬───────┬───────┐
//	│ magic │ version │ codec │ flags │ key id │ dictionary │ topic id │ queue │ count │
//	└───────┴─────────┴───────┴───────┴────────┴────────────┴──────────┴───────┴───────┘
//	32             40              44           48       52               52+stored length
//	┌──────────────┬───────────────┬────────────┬────────┬────────────────┐
//	│ first offset │ stored length │ raw length │ crc32c │ stored records │
//	└──────────────┴───────────────┴────────────┴────────┴────────────────┘
//
// The checksum is over everything but itself. Flags, key id and dictionary id are zero so far: they are for encryption by
// key and for compression with a shared dictionary.
type BlockHeader struct {
	Codec      Codec
	Queue      message.Queue
	First      message.Offset // of the first record
	Count      int            // records, at least 1
	StoredLen  int            // bytes behind the header
	RawLen     int            // bytes of the records
	Flags      uint16
	KeyID      uint32
	Dictionary uint32
}

// appendBlockHeader appends the header of a block with these stored records, whose CRC32C is known. It fills their length
// and the checksum.
func appendBlockHeader(dst []byte, h BlockHeader, stored []byte, storedCRC uint32) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, blockMagic)
	dst = append(dst, blockVersion, byte(h.Codec))
	dst = binary.LittleEndian.AppendUint16(dst, h.Flags)
	dst = binary.LittleEndian.AppendUint32(dst, h.KeyID)
	dst = binary.LittleEndian.AppendUint32(dst, h.Dictionary)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Queue.Topic))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Queue.ID))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.Count))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.First))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(stored)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.RawLen))
	crc := tiering.JoinChecksums(tiering.Checksum(dst[start:]), storedCRC, len(stored))
	return binary.LittleEndian.AppendUint32(dst, crc)
}

// DecodeBlockHeader decodes the header at the head of src without its checksum, which [DecodeBlock] compares.
func DecodeBlockHeader(src []byte) (BlockHeader, error) {
	if len(src) < BlockHeaderLen {
		return BlockHeader{}, fmt.Errorf("%w: block header in %d bytes", message.ErrCorrupt, len(src))
	}
	if magic := binary.LittleEndian.Uint32(src); magic != blockMagic || src[4] != blockVersion {
		return BlockHeader{}, fmt.Errorf("%w: block magic %08x version %d", message.ErrCorrupt, magic, src[4])
	}
	h := BlockHeader{
		Codec:      Codec(src[5]),
		Flags:      binary.LittleEndian.Uint16(src[6:]),
		KeyID:      binary.LittleEndian.Uint32(src[8:]),
		Dictionary: binary.LittleEndian.Uint32(src[12:]),
		Queue: message.Queue{
			Topic: message.TopicID(binary.LittleEndian.Uint64(src[16:])),
			ID:    message.QueueID(binary.LittleEndian.Uint32(src[24:])),
		},
		Count:     int(binary.LittleEndian.Uint32(src[28:])),
		First:     message.Offset(binary.LittleEndian.Uint64(src[32:])),
		StoredLen: int(binary.LittleEndian.Uint32(src[40:])),
		RawLen:    int(binary.LittleEndian.Uint32(src[44:])),
	}
	switch {
	case h.Flags != 0 || h.KeyID != 0 || h.Dictionary != 0:
		return BlockHeader{}, fmt.Errorf("%w: block with flags %x, key %d, dictionary %d, which this version cannot read", message.ErrCorrupt, h.Flags, h.KeyID, h.Dictionary)
	case h.Codec >= codecEnd || h.First < 0:
		return BlockHeader{}, fmt.Errorf("%w: block with %v from offset %d", message.ErrCorrupt, h.Codec, h.First)
	case h.RawLen > maxRawLen || h.StoredLen > h.RawLen || h.Count < 1 || h.Count > h.RawLen/message.EnvelopeLen:
		return BlockHeader{}, fmt.Errorf("%w: block of %d records, %d bytes, %d stored", message.ErrCorrupt, h.Count, h.RawLen, h.StoredLen)
	}
	return h, nil
}

// DecodeBlock verifies the block that src is, no more and no less, and appends its records to dst. It fails with
// [message.ErrCorrupt]; dst is then undefined behind its length.
func DecodeBlock(dst, src []byte) (BlockHeader, []byte, error) {
	h, stored, err := verifyBlock(src)
	if err != nil {
		return BlockHeader{}, nil, err
	}
	records, err := decompress(slices.Grow(dst, h.RawLen), stored, h.Codec, h.RawLen)
	if err != nil {
		return BlockHeader{}, nil, err
	}
	return h, records, nil
}

// verifyBlock returns the header and the stored bytes of the block that src is, whose checksum they match.
func verifyBlock(src []byte) (BlockHeader, []byte, error) {
	h, err := DecodeBlockHeader(src)
	if err != nil {
		return BlockHeader{}, nil, err
	}
	if len(src) != BlockHeaderLen+h.StoredLen {
		return BlockHeader{}, nil, fmt.Errorf("%w: block of %d bytes in %d", message.ErrCorrupt, BlockHeaderLen+h.StoredLen, len(src))
	}
	stored := src[BlockHeaderLen:]
	want := binary.LittleEndian.Uint32(src[BlockHeaderLen-4:])
	if got := tiering.UpdateChecksum(tiering.Checksum(src[:BlockHeaderLen-4]), stored); got != want {
		return BlockHeader{}, nil, fmt.Errorf("%w: block has CRC32C %08x, not %08x", message.ErrCorrupt, got, want)
	}
	return h, stored, nil
}

// StoredRecord is a record of a block.
type StoredRecord struct {
	Offset message.Offset
	Record []byte // whole, envelope included; it aliases the block's records
}

// Records yields the records of a decoded block. The last pair may be an error: the bytes are not as many records as the
// header says.
func (h BlockHeader) Records(records []byte) iter.Seq2[StoredRecord, error] {
	return func(yield func(StoredRecord, error) bool) {
		for i := range h.Count {
			_, n, err := message.DecodeRecord(records)
			if err != nil {
				yield(StoredRecord{}, fmt.Errorf("record %d of block: %w", i, err))
				return
			}
			if !yield(StoredRecord{Offset: h.First + message.Offset(i), Record: records[:n:n]}, nil) {
				return
			}
			records = records[n:]
		}
		if len(records) != 0 {
			yield(StoredRecord{}, fmt.Errorf("%w: %d bytes behind the records of a block", message.ErrCorrupt, len(records)))
		}
	}
}
