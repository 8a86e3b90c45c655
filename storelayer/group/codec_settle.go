package group

import (
	"encoding/binary"

	"github.com/stratamq/stratamq/message"
)

// The rest of a settle record, little-endian, n runs:
//
//	0        1       5
//	┌────────┬───────┬──────┐
//	│ reason │ count │ runs │   run: first i64, end i64 (half-open), sorted, disjoint
//	│ u8     │ u32   │      │   count = n
//	└────────┴───────┴──────┘
const (
	settleFixedLen = 5
	settleRunLen   = 16
)

// settleView is a decoded settle record whose name aliases it; decoding into one reuses its runs.
type settleView struct {
	head
	reason Reason
	runs   []Run
}

// AppendTo appends the record's body.
func (r SettleRecord) AppendTo(dst []byte) []byte {
	dst = appendHead(dst, r.Key, r.Queue.ID)
	dst = append(dst, byte(r.Reason))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Runs)))
	for _, run := range r.Runs {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(run.First))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(run.End))
	}
	return dst
}

// DecodeSettle decodes a settle record; nothing aliases it. It fails with message.ErrCorrupt.
func DecodeSettle(rec message.Record) (SettleRecord, error) {
	var v settleView
	if err := v.decode(rec); err != nil {
		return SettleRecord{}, err
	}
	return SettleRecord{Key: v.key(), Queue: v.queue, Reason: v.reason, Runs: v.runs}, nil
}

func (v *settleView) decode(rec message.Record) error {
	h, b, err := decodeHead(rec)
	if err != nil {
		return err
	}
	if len(b) < settleFixedLen || b[0] < byte(Acked) || b[0] > byte(Expired) ||
		uint64(len(b)) != settleFixedLen+settleRunLen*uint64(binary.LittleEndian.Uint32(b[1:])) {
		return corruptRest(rec, len(b))
	}
	v.head, v.reason, v.runs = h, Reason(b[0]), v.runs[:0]
	last := message.Offset(0)
	for b = b[settleFixedLen:]; len(b) > 0; b = b[settleRunLen:] {
		run := Run{
			First: message.Offset(binary.LittleEndian.Uint64(b)),
			End:   message.Offset(binary.LittleEndian.Uint64(b[8:])),
		}
		if run.First < last || run.End <= run.First || run.End > maxOffset {
			return corruptRest(rec, len(b))
		}
		last = run.End
		v.runs = append(v.runs, run)
	}
	return nil
}
