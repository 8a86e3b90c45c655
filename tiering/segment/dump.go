package segment

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stratamq/stratamq/message"
)

// DumpOptions say how much of an object to print.
type DumpOptions struct {
	Blocks  bool // a line per block
	Records bool // a line per record, with its entry
	Keys    bool // a line per posting
	// Describe returns what else to say about a record; nil for nothing. The format does not know what is in one.
	Describe func(record message.Record) string
}

// Dump prints an object for people.
func (r *Reader) Dump(ctx context.Context, w io.Writer, opts DumpOptions) error {
	p := &printer{w: w}
	t := r.trailer
	p.printf("sealed object    %d bytes, class %v, codec %v, shard %s, epoch %d\n", r.size, t.Class, t.Codec, t.Shard, t.Epoch)
	p.printf("log range        [%d, %d)\n", t.LogStart, t.LogEnd)
	p.printf("stored           %s to %s\n", timeText(t.MinTime), timeText(t.MaxTime))
	p.printf("records          %d, %d bytes, in %d blocks of %d queues\n", t.Records, t.RawBytes, t.Blocks, t.Queues)
	p.printf("postings         %d\n", t.Postings)
	for kind, s := range t.Sections {
		p.printf("section          %-9v at %d, %d bytes\n", SectionKind(kind), s.Position, s.Length)
	}
	for q := range r.dir.Queues() {
		p.printf("queue %s  offsets [%d, %d), %d blocks, column at %d\n", q.Queue, q.First, q.Next(), q.Blocks, q.Column.Position)
		if !opts.Blocks && !opts.Records {
			continue
		}
		for _, b := range r.dir.BlocksOf(q) {
			p.printf("  block %d  offsets [%d, %d) at %d, %d bytes, stored %s to %s\n",
				b.Number, b.First, b.Next(), b.Position, b.Length, timeText(b.MinTime), timeText(b.MaxTime))
			if !opts.Records {
				continue
			}
			if err := r.dumpRecords(ctx, p, b, opts); err != nil {
				return err
			}
		}
	}
	if opts.Keys {
		if err := r.dumpPostings(ctx, p); err != nil {
			return err
		}
	}
	return p.err
}

func (r *Reader) dumpRecords(ctx context.Context, p *printer, b Block, opts DumpOptions) error {
	h, records, err := r.Block(ctx, b)
	if err != nil {
		return err
	}
	entries, err := r.Entries(ctx, b.Queue, b.First, b.Count)
	if err != nil {
		return err
	}
	p.printf("    %v, %d bytes of records, %d stored\n", h.Codec, h.RawLen, h.StoredLen)
	for stored, err := range h.Records(records) {
		if err != nil {
			return err
		}
		record, _, err := message.DecodeRecord(stored.Record)
		if err != nil {
			return err
		}
		e := entries[stored.Offset-b.First]
		text := ""
		if opts.Describe != nil {
			text = "  " + opts.Describe(record)
		}
		p.printf("    %d  %v, position %d, %d bytes, tag hash %08x, order key %016x%s\n",
			stored.Offset, record.Type, e.Position, e.Size, e.TagHash, e.OrderKey, strings.TrimRight(text, " "))
	}
	return nil
}

func (r *Reader) dumpPostings(ctx context.Context, p *printer) error {
	fences, err := r.Fences(ctx)
	if err != nil {
		return err
	}
	for i, f := range fences {
		b := make([]byte, f.Length)
		if err := r.src.GetRange(ctx, b, r.trailer.Sections[SectionPostings].Position+int64(f.Position)); err != nil {
			return fmt.Errorf("read postings: %w", err)
		}
		page, _, err := DecodePostingPage(nil, b)
		if err != nil {
			return err
		}
		p.printf("posting page %d  from %016x, %d bytes, %d postings\n", i, f.First, f.Length, len(page))
		for _, posting := range page {
			p.printf("  %016x  block %d\n", posting.Hash, posting.Block)
		}
	}
	return nil
}

func timeText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

// printer remembers the first error of its writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
