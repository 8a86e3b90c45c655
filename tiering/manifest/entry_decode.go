package manifest

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

// DecodeEntry decodes the whole of src; the result shares no memory with it. It fails with [message.ErrCorrupt].
func DecodeEntry(src []byte) (Entry, error) {
	if len(src) < entryHeaderLen+snapshotLen+crcLen {
		return Entry{}, fmt.Errorf("%w: manifest entry of %d bytes", message.ErrCorrupt, len(src))
	}
	if magic, version := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint16(src[8:]); magic != entryMagic || version != entryVersion {
		return Entry{}, fmt.Errorf("%w: manifest entry of magic %016x, version %d", message.ErrCorrupt, magic, version)
	}
	body, sum := src[:len(src)-crcLen], binary.LittleEndian.Uint32(src[len(src)-crcLen:])
	if got := tiering.Checksum(body); got != sum {
		return Entry{}, fmt.Errorf("%w: manifest entry has CRC32C %08x, not %08x", message.ErrCorrupt, got, sum)
	}
	e := Entry{
		Shard:    message.ShardID(binary.LittleEndian.Uint16(src[12:])),
		Sequence: binary.LittleEndian.Uint64(src[16:]),
		Epoch:    message.Epoch(binary.LittleEndian.Uint32(src[24:])),
		Created:  int64(binary.LittleEndian.Uint64(src[32:])),
		Base:     message.Position(binary.LittleEndian.Uint64(src[40:])),
		End:      message.Position(binary.LittleEndian.Uint64(src[48:])),
		Previous: meta.EntryHash(src[56:88]),
	}
	name := binary.LittleEndian.Uint32(src[28:])
	objects, deletions, firsts := binary.LittleEndian.Uint32(src[88:]), binary.LittleEndian.Uint32(src[92:]), binary.LittleEndian.Uint32(src[96:])
	r := reader{src: body[entryHeaderLen:]}
	if uint64(name)+uint64(objects)*objectLen+uint64(deletions)*2+uint64(firsts)*firstOffsetLen > uint64(len(r.src)) {
		return Entry{}, fmt.Errorf("%w: manifest entry of %d bytes with %d objects, %d deletions, %d first offsets", message.ErrCorrupt, len(src), objects, deletions, firsts)
	}
	e.Cluster = string(r.take(int(name)))
	e.Snapshot = r.snapshot()
	for range objects {
		e.Objects = append(e.Objects, r.object())
	}
	for range deletions {
		e.Deletions = append(e.Deletions, string(r.take(int(r.u16()))))
	}
	for range firsts {
		e.FirstOffsets = append(e.FirstOffsets, r.firstOffset())
	}
	if r.bad || len(r.src) != 0 || src[10] != 0 || src[11] != 0 || src[14] != 0 || src[15] != 0 {
		return Entry{}, fmt.Errorf("%w: manifest entry %d does not fill its %d bytes", message.ErrCorrupt, e.Sequence, len(src))
	}
	if err := e.check(); err != nil {
		return Entry{}, fmt.Errorf("%w: manifest entry %d: %w", message.ErrCorrupt, e.Sequence, err)
	}
	return e, nil
}

// check says why no leader can have committed the entry, or nil.
func (e *Entry) check() error {
	switch {
	case e.Sequence == 0 || e.End < e.Base:
		return fmt.Errorf("log range [%d, %d)", uint64(e.Base), uint64(e.End))
	case (e.Sequence == 1) != (e.Previous == meta.EntryHash{}):
		return fmt.Errorf("hash of the entry before is %s", e.Previous)
	case len(e.Cluster) == 0 || len(e.Cluster) > maxClusterLen:
		return fmt.Errorf("cluster name of %d bytes", len(e.Cluster))
	case e.Snapshot.Size < 0 || e.Snapshot.Size > 0 && e.Snapshot.ReplayStart < e.End:
		return fmt.Errorf("snapshot of %d bytes whose replay starts at %d", e.Snapshot.Size, uint64(e.Snapshot.ReplayStart))
	case !e.Seals() && len(e.Objects) > 0:
		return fmt.Errorf("%d objects of no part of the log", len(e.Objects))
	}
	for i, o := range e.Objects {
		if o.Class > segment.ClassEver || i > 0 && o.Class <= e.Objects[i-1].Class || o.Size < segment.TrailerLen ||
			o.Directory < 0 || o.Directory > o.Size-segment.TrailerLen {
			return fmt.Errorf("object %d of %v: %d bytes, directory at %d", i, o.Class, o.Size, o.Directory)
		}
	}
	for _, key := range e.Deletions {
		if err := tiering.ValidateKey(key); err != nil {
			return err
		}
	}
	for i, f := range e.FirstOffsets {
		if f.Offset < 0 || i > 0 && compareQueues(e.FirstOffsets[i-1].Queue, f.Queue) >= 0 {
			return fmt.Errorf("first offset %d of queue %s", f.Offset, f.Queue)
		}
	}
	return nil
}

// reader takes fixed-width fields until there are not enough bytes; from then on they are zero.
type reader struct {
	src []byte
	bad bool
}

var zeros [objectLen]byte

func (r *reader) take(n int) []byte {
	if n > len(r.src) {
		r.bad, r.src = true, nil
		return zeros[:min(n, len(zeros))]
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

// reserved says that bytes which have no meaning yet must be zero: a version that gives them one must not be misread.
func (r *reader) reserved(b []byte) {
	for _, x := range b {
		if x != 0 {
			r.bad = true
		}
	}
}

func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }

func (r *reader) snapshot() Snapshot {
	b := r.take(snapshotLen)
	r.reserved(b[28:32])
	return Snapshot{
		UUID:        UUID(b[:16]),
		Size:        int64(binary.LittleEndian.Uint64(b[16:])),
		CRC32C:      binary.LittleEndian.Uint32(b[24:]),
		ReplayStart: message.Position(binary.LittleEndian.Uint64(b[32:])),
	}
}

func (r *reader) object() Object {
	b := r.take(objectLen)
	r.reserved(b[17:24])
	r.reserved(b[36:40])
	return Object{
		UUID:      UUID(b[:16]),
		Class:     segment.Class(b[16]),
		Size:      int64(binary.LittleEndian.Uint64(b[24:])),
		CRC32C:    binary.LittleEndian.Uint32(b[32:]),
		Directory: int64(binary.LittleEndian.Uint64(b[40:])),
		Records:   binary.LittleEndian.Uint64(b[48:]),
		MinTime:   int64(binary.LittleEndian.Uint64(b[56:])),
		MaxTime:   int64(binary.LittleEndian.Uint64(b[64:])),
		RawBytes:  binary.LittleEndian.Uint64(b[72:]),
	}
}

func (r *reader) firstOffset() FirstOffset {
	b := r.take(firstOffsetLen)
	r.reserved(b[12:16])
	return FirstOffset{
		Queue: message.Queue{
			Topic: message.TopicID(binary.LittleEndian.Uint64(b)),
			ID:    message.QueueID(binary.LittleEndian.Uint32(b[8:])),
		},
		Offset: message.Offset(binary.LittleEndian.Uint64(b[16:])),
	}
}
