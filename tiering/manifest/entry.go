package manifest

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

const (
	entryMagic   = 0x5446494e414d5453 // "STMANIFT"
	entryVersion = 1

	entryHeaderLen = 100
	snapshotLen    = 40
	objectLen      = 80
	firstOffsetLen = 24
	crcLen         = 4
	maxClusterLen  = 64
)

// Entry is one step of a shard's chain: a seal, or a change of what was sealed before.
//
//	0       8         10         12      14         16         24      28         32        40     48    56
//	┌───────┬─────────┬──────────┬───────┬──────────┬──────────┬───────┬──────────┬─────────┬──────┬─────┐
//	│ magic │ version │ reserved │ shard │ reserved │ sequence │ epoch │ name len │ created │ base │ end │
//	└───────┴─────────┴──────────┴───────┴──────────┴──────────┴───────┴──────────┴─────────┴──────┴─────┘
//	56              88        92          96              100         100+n
//	┌───────────────┬─────────┬───────────┬───────────────┬───────────┬──────────┬─────────┬───────────┬─────────┬────────┐
//	│ previous hash │ objects │ deletions │ first offsets │ name (n)  │ snapshot │ object… │ deletion… │ first…  │ crc32c │
//	│               │ count   │ count     │ count         │           │ 40       │ 80 each │ 2+m each  │ 24 each │        │
//	└───────────────┴─────────┴───────────┴───────────────┴───────────┴──────────┴─────────┴───────────┴─────────┴────────┘
//
// It is little-endian; the name is the cluster's. A deletion is a length u16 and a key. The checksum is over everything
// before it.
type Entry struct {
	Cluster  string // prefix of all its keys
	Shard    message.ShardID
	Sequence uint64         // from 1, without holes
	Epoch    message.Epoch  // of the leader that committed it; never below that of the entry before
	Previous meta.EntryHash // of the bytes of the entry before; zero in the first
	Created  int64          // milliseconds since 1970, by the leader's clock

	// [Base, End) is the part of the log that this entry adds. Base is the end of the entry before; an entry
	// that seals nothing has an empty range there.
	Base, End message.Position

	Snapshot Snapshot // Size is 0 if the entry has none
	Objects  []Object // one per retention class, by class

	// Deletions are keys of objects that nobody may need any more, and that are deleted after a grace.
	Deletions []string

	// FirstOffsets are queues whose first offset has moved.
	FirstOffsets []FirstOffset
}

// UUID makes an object's key unique.
type UUID [16]byte

// String returns the id as it stands in keys, 32 hexadecimal digits.
func (u UUID) String() string { return hex.EncodeToString(u[:]) }

// Object is a sealed object of the entry's segment.
//
//	0    16      17         24     32       36         40          48        56         64         72          80
//	┌────┬───────┬──────────┬──────┬────────┬──────────┬───────────┬─────────┬──────────┬──────────┬───────────┐
//	│uuid│ class │ reserved │ size │ crc32c │ reserved │ directory │ records │ min time │ max time │ raw bytes │
//	└────┴───────┴──────────┴──────┴────────┴──────────┴───────────┴─────────┴──────────┴──────────┴───────────┘
type Object struct {
	UUID      UUID
	Class     segment.Class
	Size      int64  // bytes
	CRC32C    uint32 // of the whole object
	Directory int64  // where its directory begins, which the trailer follows
	Records   uint64
	MinTime   int64 // store times, milliseconds since 1970
	MaxTime   int64
	RawBytes  uint64 // of all records, before compression
}

// Snapshot is the object with the shard's derived state.
//
//	0    16     24       28         32             40
//	┌────┬──────┬────────┬──────────┬──────────────┐
//	│uuid│ size │ crc32c │ reserved │ replay start │
//	└────┴──────┴────────┴──────────┴──────────────┘
type Snapshot struct {
	UUID        UUID
	Size        int64 // bytes
	CRC32C      uint32
	ReplayStart message.Position // at or behind the entry's end
}

// FirstOffset says that a queue begins at Offset: what lies before is past its retention.
//
//	0          8       12         16       24
//	┌──────────┬───────┬──────────┬────────┐
//	│ topic id │ queue │ reserved │ offset │
//	└──────────┴───────┴──────────┴────────┘
type FirstOffset struct {
	Queue  message.Queue
	Offset message.Offset
}

// EntryKey is where the entry with that sequence lies in the bucket.
func EntryKey(cluster string, shard message.ShardID, sequence uint64) string {
	return fmt.Sprintf("%s%020d", EntryPrefix(cluster, shard), sequence)
}

// EntryPrefix begins the keys of all entries of a shard.
func EntryPrefix(cluster string, shard message.ShardID) string {
	return cluster + "/manifest/" + shard.String() + "/"
}

// Key returns where the entry itself lies.
func (e *Entry) Key() string { return EntryKey(e.Cluster, e.Shard, e.Sequence) }

// ObjectKey returns the key of an object of the entry.
func (e *Entry) ObjectKey(o Object) string {
	return segment.Key{
		Cluster: e.Cluster, Shard: e.Shard, Base: e.Base, Class: o.Class, Epoch: e.Epoch, UUID: o.UUID.String(),
	}.String()
}

// SnapshotKey returns the key of the entry's snapshot, beside its objects.
func (e *Entry) SnapshotKey() string {
	return segment.ShardPrefix(e.Cluster, e.Shard) + e.Base.String() + "/snapshot-" + e.Epoch.String() + "-" + e.Snapshot.UUID.String()
}

// Seals reports whether the entry adds a part of the log.
func (e *Entry) Seals() bool { return e.End > e.Base }

// AppendTo appends the entry's bytes.
func (e *Entry) AppendTo(dst []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, entryMagic)
	dst = binary.LittleEndian.AppendUint16(dst, entryVersion)
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.Shard))
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, e.Sequence)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Epoch))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Cluster)))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Created))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Base))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.End))
	dst = append(dst, e.Previous[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Objects)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.Deletions)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.FirstOffsets)))
	dst = append(dst, e.Cluster...)
	dst = e.Snapshot.appendTo(dst)
	for _, o := range e.Objects {
		dst = o.appendTo(dst)
	}
	for _, key := range e.Deletions {
		dst = binary.LittleEndian.AppendUint16(dst, uint16(len(key)))
		dst = append(dst, key...)
	}
	for _, f := range e.FirstOffsets {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Queue.Topic))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Queue.ID))
		dst = append(dst, 0, 0, 0, 0)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(f.Offset))
	}
	return binary.LittleEndian.AppendUint32(dst, tiering.Checksum(dst[start:]))
}

func (s Snapshot) appendTo(dst []byte) []byte {
	dst = append(dst, s.UUID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Size))
	dst = binary.LittleEndian.AppendUint32(dst, s.CRC32C)
	dst = append(dst, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint64(dst, uint64(s.ReplayStart))
}

func (o Object) appendTo(dst []byte) []byte {
	dst = append(dst, o.UUID[:]...)
	dst = append(dst, byte(o.Class), 0, 0, 0, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(o.Size))
	dst = binary.LittleEndian.AppendUint32(dst, o.CRC32C)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(o.Directory))
	dst = binary.LittleEndian.AppendUint64(dst, o.Records)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(o.MinTime))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(o.MaxTime))
	return binary.LittleEndian.AppendUint64(dst, o.RawBytes)
}
