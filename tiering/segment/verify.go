package segment

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// Verify reads the whole object, block by block, and checks everything that can be checked without knowing what records
// mean: all checksums, that every record decodes and belongs to the queue's topic, that entries and records have the same
// sizes, that postings are in order and name blocks that exist, and that counts and times agree. It fails with
// [message.ErrCorrupt] and says where.
func (r *Reader) Verify(ctx context.Context) error {
	total := uint64(0)
	for q := range r.dir.Queues() {
		n, err := r.verifyQueue(ctx, q)
		if err != nil {
			return fmt.Errorf("queue %s: %w", q.Queue, err)
		}
		total += n
	}
	if total != r.trailer.RawBytes {
		return fmt.Errorf("%w: records of %d bytes, the trailer says %d", message.ErrCorrupt, total, r.trailer.RawBytes)
	}
	if err := r.verifyTimes(); err != nil {
		return err
	}
	return r.verifyPostings(ctx)
}

// verifyQueue returns the bytes of the queue's records.
func (r *Reader) verifyQueue(ctx context.Context, q QueueRange) (uint64, error) {
	total := uint64(0)
	for _, b := range r.dir.BlocksOf(q) {
		h, records, err := r.Block(ctx, b)
		if err != nil {
			return 0, err
		}
		entries, err := r.Entries(ctx, q.Queue, b.First, b.Count)
		if err != nil {
			return 0, err
		}
		if len(entries) != b.Count {
			return 0, fmt.Errorf("%w: %d entries for %d records", message.ErrCorrupt, len(entries), b.Count)
		}
		for stored, err := range h.Records(records) {
			if err != nil {
				return 0, fmt.Errorf("block %d: %w", b.Number, err)
			}
			offset, record := stored.Offset, stored.Record
			decoded, _, err := message.DecodeRecord(record)
			if err != nil {
				return 0, err
			}
			entry := entries[offset-b.First]
			if decoded.Topic != q.Queue.Topic || int(entry.Size) != len(record) {
				return 0, fmt.Errorf("%w: record at offset %d has topic %s and %d bytes, its entry says %d", message.ErrCorrupt, offset, decoded.Topic, len(record), entry.Size)
			}
			if entry.Position < r.trailer.LogStart || entry.Position >= r.trailer.LogEnd {
				return 0, fmt.Errorf("%w: record at offset %d from position %d outside [%d, %d)", message.ErrCorrupt, offset, entry.Position, r.trailer.LogStart, r.trailer.LogEnd)
			}
		}
		total += uint64(len(records))
	}
	return total, nil
}

func (r *Reader) verifyTimes() error {
	for b := range r.dir.Blocks() {
		if b.MinTime < r.trailer.MinTime || b.MaxTime > r.trailer.MaxTime {
			return fmt.Errorf("%w: block %d stored from %d to %d, the object from %d to %d", message.ErrCorrupt, b.Number, b.MinTime, b.MaxTime, r.trailer.MinTime, r.trailer.MaxTime)
		}
	}
	return nil
}

func (r *Reader) verifyPostings(ctx context.Context) error {
	fences, err := r.Fences(ctx)
	if err != nil {
		return err
	}
	var previous Posting
	var page PostingPage
	count := uint64(0)
	for i, f := range fences {
		b := make([]byte, f.Length)
		if err := r.src.GetRange(ctx, b, r.trailer.Sections[SectionPostings].Position+int64(f.Position)); err != nil {
			return fmt.Errorf("read postings: %w", err)
		}
		var n int
		if page, n, err = DecodePostingPage(page[:0], b); err != nil {
			return err
		}
		if n != len(b) || page[0].Hash != f.First {
			return fmt.Errorf("%w: posting page %d does not fit its fence", message.ErrCorrupt, i)
		}
		for _, p := range page {
			ascending := p.Hash > previous.Hash || p.Hash == previous.Hash && p.Block > previous.Block
			if count > 0 && !ascending || int(p.Block) >= r.dir.NumBlocks() {
				return fmt.Errorf("%w: posting of hash %016x in block %d is out of order", message.ErrCorrupt, p.Hash, p.Block)
			}
			previous = p
			count++
		}
	}
	if count != r.trailer.Postings {
		return fmt.Errorf("%w: %d postings, the trailer says %d", message.ErrCorrupt, count, r.trailer.Postings)
	}
	return nil
}
