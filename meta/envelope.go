package meta

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	envelopeMagic     = 0x4d545253 // "SRTM"
	envelopeVersion   = 1
	envelopeHeaderLen = 20
	envelopeCRCLen    = 4
	maxWriterLen      = 255
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Envelope is what stands around every value.
//
//	0       4         6            7          8       16       20       20+w   20+w+n
//	┌───────┬─────────┬────────────┬──────────┬───────┬────────┬────────┬──────┬────────┐
//	│ magic │ version │ writer (w) │ reserved │ nonce │ length │ writer │ data │ crc32c │   little-endian
//	└───────┴─────────┴────────────┴──────────┴───────┴────────┴────────┴──────┴────────┘
//
// Length is that of the data (n); the checksum covers everything before it.
type Envelope struct {
	Writer string // who wrote it, for people and for the writer itself; at most 255 bytes
	Nonce  uint64 // chosen at random for this write, so that its writer recognises it
	Data   []byte // the record, at most [MaxDataLen] bytes
}

// Check reports why e cannot be stored, or nil.
func (e Envelope) Check() error {
	if len(e.Writer) > maxWriterLen {
		return fmt.Errorf("%w: writer of %d bytes, at most %d", ErrTooLarge, len(e.Writer), maxWriterLen)
	}
	if len(e.Data) > MaxDataLen {
		return fmt.Errorf("%w: %d bytes of data, at most %d", ErrTooLarge, len(e.Data), MaxDataLen)
	}
	return nil
}

// AppendTo appends the encoded envelope. The envelope must have passed Check.
func (e Envelope) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, envelopeMagic)
	dst = binary.LittleEndian.AppendUint16(dst, envelopeVersion)
	dst = append(dst, byte(len(e.Writer)), 0)
	dst = binary.LittleEndian.AppendUint64(dst, e.Nonce)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Data)))
	dst = append(dst, e.Writer...)
	dst = append(dst, e.Data...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// DecodeEnvelope decodes the whole of src. The envelope's data aliases src. It fails with [ErrDamaged].
func DecodeEnvelope(src []byte) (Envelope, error) {
	if len(src) < envelopeHeaderLen+envelopeCRCLen || len(src) > MaxValueLen {
		return Envelope{}, fmt.Errorf("%w: envelope of %d bytes", ErrDamaged, len(src))
	}
	if magic := binary.LittleEndian.Uint32(src); magic != envelopeMagic {
		return Envelope{}, fmt.Errorf("%w: envelope magic %08x", ErrDamaged, magic)
	}
	body, sum := src[:len(src)-envelopeCRCLen], binary.LittleEndian.Uint32(src[len(src)-envelopeCRCLen:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return Envelope{}, fmt.Errorf("%w: envelope checksum %08x, stored %08x", ErrDamaged, got, sum)
	}
	if version := binary.LittleEndian.Uint16(src[4:]); version != envelopeVersion || src[7] != 0 {
		return Envelope{}, fmt.Errorf("%w: envelope version %d", ErrDamaged, version)
	}
	writer, length := int(src[6]), binary.LittleEndian.Uint32(src[16:])
	if uint64(len(body)) != uint64(envelopeHeaderLen)+uint64(writer)+uint64(length) {
		return Envelope{}, fmt.Errorf("%w: envelope lengths %d and %d in %d bytes", ErrDamaged, writer, length, len(src))
	}
	return Envelope{
		Writer: string(body[envelopeHeaderLen : envelopeHeaderLen+writer]),
		Nonce:  binary.LittleEndian.Uint64(src[8:]),
		Data:   body[envelopeHeaderLen+writer : len(body) : len(body)],
	}, nil
}
