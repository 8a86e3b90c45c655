package shard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/stratamq/stratamq/message"
)

// A snapshot is the derived state of a shard, taken without stopping it: each part says up to which
// position it is current, and a replay from Start skips what a part has seen.
//
//	0       4         6       8       16        24            28           32     36
//	┌───────┬─────────┬───────┬───────┬─────────┬─────────────┬────────────┬──────┬──────────┬────────┐   little-endian
//	│ magic │ version │ shard │ start │ highest │ frame epoch │ frame crc  │ parts│ part × n │ crc32c │
//	└───────┴─────────┴───────┴───────┴─────────┴─────────────┴────────────┴──────┴──────────┴────────┘
//	part: ┌──────────┬────────────┬───────┐
//	      │ kind u8  │ length u32 │ bytes │
//	      └──────────┴────────────┴───────┘
//
// Highest is where the last frame ends that any part may have seen; epoch and CRC are that frame's. A snapshot
// whose frame is not in the log describes another history and is thrown away.
type snapshot struct {
	Shard      message.ShardID
	Start      message.Position
	Highest    message.Position
	FrameEpoch message.Epoch
	FrameCRC   uint32
	Table      []byte            // of queue.Table
	Groups     [][]byte          // of group.Group, one each
	Deleted    []message.TopicID // ended here, sorted
}

const (
	snapshotMagic     = 0x50414e53 // "SNAP"
	snapshotVersion   = 1
	snapshotHeaderLen = 36
	snapshotCRCLen    = 4
	partHeaderLen     = 5

	partTable   = 1
	partGroup   = 2
	partDeleted = 3

	snapshotPrefix = "snapshot-"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the snapshot's bytes.
func (s *snapshot) encode() []byte {
	dst := binary.LittleEndian.AppendUint32(nil, snapshotMagic)
	dst = binary.LittleEndian.AppendUint16(dst, snapshotVersion)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(s.Shard))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Start))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Highest))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(s.FrameEpoch))
	dst = binary.LittleEndian.AppendUint32(dst, s.FrameCRC)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(2+len(s.Groups)))
	dst = appendPart(dst, partTable, s.Table)
	deleted := make([]byte, 0, 8*len(s.Deleted))
	for _, topic := range s.Deleted {
		deleted = binary.LittleEndian.AppendUint64(deleted, uint64(topic))
	}
	dst = appendPart(dst, partDeleted, deleted)
	for _, g := range s.Groups {
		dst = appendPart(dst, partGroup, g)
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

func appendPart(dst []byte, kind byte, part []byte) []byte {
	dst = append(dst, kind)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(part)))
	return append(dst, part...)
}

// decodeSnapshot decodes what encode wrote; its parts alias src. It fails with [message.ErrCorrupt].
func decodeSnapshot(src []byte) (*snapshot, error) {
	if len(src) < snapshotHeaderLen+snapshotCRCLen {
		return nil, fmt.Errorf("%w: snapshot of %d bytes", message.ErrCorrupt, len(src))
	}
	body, sum := src[:len(src)-snapshotCRCLen], binary.LittleEndian.Uint32(src[len(src)-snapshotCRCLen:])
	if binary.LittleEndian.Uint32(body) != snapshotMagic || crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: snapshot checksum", message.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint16(body[4:]); v != snapshotVersion {
		return nil, fmt.Errorf("%w: snapshot version %d", message.ErrCorrupt, v)
	}
	s := &snapshot{
		Shard:      message.ShardID(binary.LittleEndian.Uint16(body[6:])),
		Start:      message.Position(binary.LittleEndian.Uint64(body[8:])),
		Highest:    message.Position(binary.LittleEndian.Uint64(body[16:])),
		FrameEpoch: message.Epoch(binary.LittleEndian.Uint32(body[24:])),
		FrameCRC:   binary.LittleEndian.Uint32(body[28:]),
	}
	parts := binary.LittleEndian.Uint32(body[32:])
	rest := body[snapshotHeaderLen:]
	for range parts {
		if len(rest) < partHeaderLen {
			return nil, fmt.Errorf("%w: snapshot ends inside a part", message.ErrCorrupt)
		}
		kind, n := rest[0], binary.LittleEndian.Uint32(rest[1:])
		rest = rest[partHeaderLen:]
		if uint64(n) > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: snapshot part of %d bytes in %d", message.ErrCorrupt, n, len(rest))
		}
		part := rest[:n:n]
		rest = rest[n:]
		switch kind {
		case partTable:
			s.Table = part
		case partDeleted:
			for ; len(part) >= 8; part = part[8:] {
				s.Deleted = append(s.Deleted, message.TopicID(binary.LittleEndian.Uint64(part)))
			}
			if len(part) != 0 {
				return nil, fmt.Errorf("%w: %d odd bytes of deleted topics", message.ErrCorrupt, len(part))
			}
		case partGroup:
			s.Groups = append(s.Groups, part)
		default:
			return nil, fmt.Errorf("%w: snapshot part of kind %d", message.ErrCorrupt, kind)
		}
	}
	if len(rest) != 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the snapshot's parts", message.ErrCorrupt, len(rest))
	}
	return s, nil
}

// snapshotName names the file of a snapshot by its start, so that names sort by age.
func snapshotName(start message.Position) string { return snapshotPrefix + start.String() }

// snapshotNames picks the snapshots out of a folder's names, newest first.
func snapshotNames(names []string) []string {
	var found []string
	for _, name := range names {
		if strings.HasPrefix(name, snapshotPrefix) && !strings.HasSuffix(name, tempSuffix) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found
}
