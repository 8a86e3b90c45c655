package group

import (
	"encoding/binary"
	"math"

	"github.com/stratamq/stratamq/message"
)

// The rest of a lease record, little-endian, n runs:
//
//	0       4       12         20      21           22      24      24+c
//	┌───────┬───────┬──────────┬───────┬────────────┬───────┬────────┬──────┐
//	│ epoch │ lease │ deadline │ flags │ client len │ count │ client │ runs │   client len = c, count = n
//	│ u32   │ u64   │ i64      │ u8    │ u8         │ u16   │        │      │
//	└───────┴───────┴──────────┴───────┴────────────┴───────┴────────┴──────┘
//	run: first i64, count u32, attempt u16; with the flag "ordered" also order key u64
const (
	leaseFixedLen   = 24
	leaseRunLen     = 14
	leaseOrderedLen = leaseRunLen + 8

	leaseAuto    = 1 << 0
	leaseOrdered = 1 << 1
	leaseFlags   = leaseAuto | leaseOrdered

	maxLeaseRuns  = math.MaxUint16
	maxLeaseCount = 1 << 16 // messages of one lease record: more is no lease that we have written
)

// leaseView is a decoded lease record whose strings alias it; decoding into one reuses its runs.
type leaseView struct {
	head
	epoch    message.Epoch
	lease    uint64
	deadline int64
	auto     bool
	client   []byte
	runs     []LeaseRun
}

// AppendTo appends the record's body.
func (r LeaseRecord) AppendTo(dst []byte) []byte {
	if len(r.Client) > maxNameLen || len(r.Runs) > maxLeaseRuns {
		panic("group: lease record is too large")
	}
	flags := byte(0)
	if r.Auto {
		flags |= leaseAuto
	}
	for _, run := range r.Runs {
		if run.OrderKey != 0 {
			flags |= leaseOrdered
		}
	}
	dst = appendHead(dst, r.Key, r.Queue.ID)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.Epoch))
	dst = binary.LittleEndian.AppendUint64(dst, r.Lease)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Deadline))
	dst = append(dst, flags, byte(len(r.Client)))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(r.Runs)))
	dst = append(dst, r.Client...)
	for _, run := range r.Runs {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(run.First))
		dst = binary.LittleEndian.AppendUint32(dst, run.Count)
		dst = binary.LittleEndian.AppendUint16(dst, run.Attempt)
		if flags&leaseOrdered != 0 {
			dst = binary.LittleEndian.AppendUint64(dst, run.OrderKey)
		}
	}
	return dst
}

// DecodeLease decodes a lease record; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeLease(rec message.Record) (LeaseRecord, error) {
	var v leaseView
	if err := v.decode(rec); err != nil {
		return LeaseRecord{}, err
	}
	return LeaseRecord{
		Key: v.key(), Queue: v.queue, Epoch: v.epoch, Lease: v.lease, Deadline: v.deadline,
		Auto: v.auto, Client: string(v.client), Runs: v.runs,
	}, nil
}

func (v *leaseView) decode(rec message.Record) error {
	h, b, err := decodeHead(rec)
	if err != nil {
		return err
	}
	if len(b) < leaseFixedLen || b[20]&^leaseFlags != 0 {
		return corruptRest(rec, len(b))
	}
	runLen := leaseRunLen
	if b[20]&leaseOrdered != 0 {
		runLen = leaseOrderedLen
	}
	clientEnd := leaseFixedLen + int(b[21])
	count := int(binary.LittleEndian.Uint16(b[22:]))
	if len(b) != clientEnd+count*runLen {
		return corruptRest(rec, len(b))
	}
	v.head = h
	v.epoch = message.Epoch(binary.LittleEndian.Uint32(b))
	v.lease = binary.LittleEndian.Uint64(b[4:])
	v.deadline = int64(binary.LittleEndian.Uint64(b[12:]))
	v.auto = b[20]&leaseAuto != 0
	v.client = b[leaseFixedLen:clientEnd:clientEnd]
	v.runs = v.runs[:0]
	total := uint64(0)
	for b = b[clientEnd:]; len(b) > 0; b = b[runLen:] {
		run := LeaseRun{
			First:   message.Offset(binary.LittleEndian.Uint64(b)),
			Count:   binary.LittleEndian.Uint32(b[8:]),
			Attempt: binary.LittleEndian.Uint16(b[12:]),
		}
		if runLen == leaseOrderedLen {
			run.OrderKey = binary.LittleEndian.Uint64(b[14:])
		}
		total += uint64(run.Count)
		if run.First < 0 || run.First > maxOffset || run.Count == 0 || total > maxLeaseCount {
			return corruptRest(rec, len(b))
		}
		v.runs = append(v.runs, run)
	}
	return nil
}
