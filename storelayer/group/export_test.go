package group

import (
	"encoding/binary"
	"hash/crc32"
)

// sealSnapshot sets length and checksum of a snapshot without them.
func sealSnapshot(body []byte) []byte {
	b := append([]byte(nil), body...)
	if len(b) >= snapshotHeadLen {
		binary.LittleEndian.PutUint32(b[8:], uint32(len(b)+4))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}
