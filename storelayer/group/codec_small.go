package group

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// The rest of a commit record, little-endian:
//
//	0      1        9       13      21
//	┌──────┬────────┬───────┬───────┐
//	│ kind │ offset │ epoch │ lease │
//	│ u8   │ i64    │ u32   │ u64   │
//	└──────┴────────┴───────┴───────┘
const commitRestLen = 21

type commitView struct {
	head
	kind   CommitKind
	offset message.Offset
	epoch  message.Epoch
	lease  uint64
}

// AppendTo appends the record's body.
func (r CommitRecord) AppendTo(dst []byte) []byte {
	dst = appendHead(dst, r.Key, r.Queue.ID)
	dst = append(dst, byte(r.Kind))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Offset))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Epoch))
	return binary.LittleEndian.AppendUint64(dst, r.Lease)
}

// DecodeCommit decodes a commit record; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeCommit(rec message.Record) (CommitRecord, error) {
	v, err := decodeCommitView(rec)
	if err != nil {
		return CommitRecord{}, err
	}
	return CommitRecord{Key: v.key(), Queue: v.queue, Kind: v.kind, Offset: v.offset, Epoch: v.epoch, Lease: v.lease}, nil
}

func decodeCommitView(rec message.Record) (commitView, error) {
	h, b, err := decodeHead(rec)
	if err != nil {
		return commitView{}, err
	}
	if len(b) != commitRestLen || b[0] < byte(CommitInit) || b[0] > byte(CommitReset) {
		return commitView{}, corruptRest(rec, len(b))
	}
	v := commitView{
		head:   h,
		kind:   CommitKind(b[0]),
		offset: message.Offset(binary.LittleEndian.Uint64(b[1:])),
		epoch:  message.Epoch(binary.LittleEndian.Uint32(b[9:])),
		lease:  binary.LittleEndian.Uint64(b[13:]),
	}
	if v.offset < 0 || v.offset > maxOffset {
		return commitView{}, corruptRest(rec, len(b))
	}
	return v, nil
}

// The rest of a dead-letter record, little-endian:
//
//	0        8            16           20
//	┌────────┬────────────┬────────────┐
//	│ offset │ dead topic │ dead queue │
//	│ i64    │ u64        │ u32        │
//	└────────┴────────────┴────────────┘
const deadLetterRestLen = 20

type deadLetterView struct {
	head
	offset message.Offset
	dead   message.Queue
}

// AppendTo appends the record's body.
func (r DeadLetterRecord) AppendTo(dst []byte) []byte {
	dst = appendHead(dst, r.Key, r.Queue.ID)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Offset))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Dead.Topic))
	return binary.LittleEndian.AppendUint32(dst, uint32(r.Dead.ID))
}

// DecodeDeadLetter decodes a dead-letter record; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeDeadLetter(rec message.Record) (DeadLetterRecord, error) {
	v, err := decodeDeadLetterView(rec)
	if err != nil {
		return DeadLetterRecord{}, err
	}
	return DeadLetterRecord{Key: v.key(), Queue: v.queue, Offset: v.offset, Dead: v.dead}, nil
}

func decodeDeadLetterView(rec message.Record) (deadLetterView, error) {
	h, b, err := decodeHead(rec)
	if err != nil {
		return deadLetterView{}, err
	}
	if len(b) != deadLetterRestLen {
		return deadLetterView{}, corruptRest(rec, len(b))
	}
	v := deadLetterView{
		head:   h,
		offset: message.Offset(binary.LittleEndian.Uint64(b)),
		dead: message.Queue{
			Topic: message.TopicID(binary.LittleEndian.Uint64(b[8:])),
			ID:    message.QueueID(binary.LittleEndian.Uint32(b[16:])),
		},
	}
	if v.offset < 0 || v.offset > maxOffset {
		return deadLetterView{}, corruptRest(rec, len(b))
	}
	return v, nil
}

// AppendTo appends the body of a group's creation or deletion: a head without a rest, of queue 0.
func (r LifeRecord) AppendTo(dst []byte) []byte { return appendHead(dst, r.Key, 0) }

// DecodeGroup decodes a group's creation or deletion; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeGroup(rec message.Record) (LifeRecord, error) {
	h, b, err := decodeHead(rec)
	if err != nil {
		return LifeRecord{}, err
	}
	if len(b) != 0 || h.queue.ID != 0 {
		return LifeRecord{}, corruptRest(rec, len(b))
	}
	return LifeRecord{Key: h.key()}, nil
}

// The body of an epoch-start record, little-endian:
//
//	0         1       5            9            17
//	┌─────────┬───────┬────────────┬────────────┐
//	│ version │ epoch │ last epoch │ last lease │
//	│ u8 = 1  │ u32   │ u32        │ u64        │
//	└─────────┴───────┴────────────┴────────────┘
const epochStartLen = 17

// AppendTo appends the record's body.
func (r EpochStartRecord) AppendTo(dst []byte) []byte {
	dst = append(dst, recordVersion)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Epoch))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.LastEpoch))
	return binary.LittleEndian.AppendUint64(dst, r.LastLease)
}

// DecodeEpochStart decodes an epoch-start record. It fails with message.ErrCorrupt.
func DecodeEpochStart(rec message.Record) (EpochStartRecord, error) {
	b := rec.Body
	if len(b) != epochStartLen || b[0] != recordVersion {
		return EpochStartRecord{}, fmt.Errorf("%w: %s record of %d bytes", message.ErrCorrupt, rec.Type, len(b))
	}
	return EpochStartRecord{
		Epoch:     message.Epoch(binary.LittleEndian.Uint32(b[1:])),
		LastEpoch: message.Epoch(binary.LittleEndian.Uint32(b[5:])),
		LastLease: binary.LittleEndian.Uint64(b[9:]),
	}, nil
}

// AppendTo appends the record's body: the version alone.
func (TopicDeleteRecord) AppendTo(dst []byte) []byte { return append(dst, recordVersion) }

// DecodeTopicDelete decodes a topic-delete record. It fails with message.ErrCorrupt.
func DecodeTopicDelete(rec message.Record) (TopicDeleteRecord, error) {
	if len(rec.Body) != 1 || rec.Body[0] != recordVersion {
		return TopicDeleteRecord{}, fmt.Errorf("%w: %s record of %d bytes", message.ErrCorrupt, rec.Type, len(rec.Body))
	}
	return TopicDeleteRecord{}, nil
}
