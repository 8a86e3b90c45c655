package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// ErrOrder says that records were added in another order than by queue and offset, without holes.
var ErrOrder = errors.New("records out of order")

// WriterConfig says what an object is and how it is written.
type WriterConfig struct {
	Shard     message.ShardID
	Epoch     message.Epoch
	LogStart  message.Position // the sealed range of the log, [LogStart, LogEnd)
	LogEnd    message.Position
	Class     Class
	Codec     Codec
	BlockSize int // bytes of records after which a block is closed; 0 for [DefaultBlockSize]
}

// Writer makes one object of records that come sorted by queue. It is for one goroutine.
//
// It holds one block in memory, and until the end 24 bytes per record for the columns, 16 per key of a record (twice that while
// they are sorted), and 80 per block.
type Writer struct {
	dst      io.Writer
	config   WriterConfig
	compress *compressor

	position int64 // bytes written
	trailer  Trailer
	dir      Directory
	raw      []byte    // records of the block being filled: in own, or lent
	own      []byte    // room for one block
	lent     bool      // raw is the caller's memory
	block    Block     // that block; Count 0 before its first record
	frame    []byte    // an encoded block header or page; reused
	entries  []byte    // all columns so far, 24 bytes each
	postings []Posting // in order of blocks, some twice

	err    error // the first one; the writer is useless then
	closed bool
}

// NewWriter begins an object. Dst takes its bytes from first to last.
func NewWriter(dst io.Writer, config WriterConfig) (*Writer, error) {
	if config.BlockSize == 0 {
		config.BlockSize = DefaultBlockSize
	}
	if config.BlockSize < 0 || config.BlockSize > maxRawLen || config.LogEnd < config.LogStart {
		return nil, fmt.Errorf("segment writer: block size %d, log range [%d, %d)", config.BlockSize, config.LogStart, config.LogEnd)
	}
	compress, err := newCompressor(config.Codec)
	if err != nil {
		return nil, err
	}
	return &Writer{dst: dst, config: config, compress: compress}, nil
}

// Add appends a record: whole, envelope included, as it stands in the log. Queues come in order of topic id and number,
// the offsets of a queue one after the other, and store times (milliseconds since 1970) of a queue never go back; else it
// fails with [ErrOrder]. Keys are the [message.IndexKey] hashes under which the record is found, in any order. Record and
// keys are borrowed until Add returns.
func (w *Writer) Add(queue message.Queue, offset message.Offset, storeTime int64, entry message.Entry, keys []uint64, record []byte) error {
	return w.tryAdd(queue, offset, storeTime, entry, keys, record, false)
}

// Lend appends a record as Add does, but borrows its bytes until [Writer.Keep]: records that lie one behind the other in
// memory, which their capacity must show, are then written from where they are.
func (w *Writer) Lend(queue message.Queue, offset message.Offset, storeTime int64, entry message.Entry, keys []uint64, record []byte) error {
	return w.tryAdd(queue, offset, storeTime, entry, keys, record, true)
}

// Keep ends the loan of all records: those of the block being filled are copied.
func (w *Writer) Keep() {
	if w.lent {
		w.own = append(w.own[:0], w.raw...)
		w.raw, w.lent = w.own, false
	}
}

func (w *Writer) tryAdd(queue message.Queue, offset message.Offset, storeTime int64, entry message.Entry, keys []uint64, record []byte, lent bool) error {
	if w.err == nil && w.closed {
		w.err = errors.New("segment writer is closed")
	}
	if w.err == nil {
		w.err = w.add(queue, offset, storeTime, entry, keys, record, lent)
	}
	return w.err
}

func (w *Writer) add(queue message.Queue, offset message.Offset, storeTime int64, entry message.Entry, keys []uint64, record []byte, lent bool) error {
	if len(record) < message.EnvelopeLen || len(record) > message.MaxRecordLen || int(entry.Size) != len(record) {
		return fmt.Errorf("add %s@%d: record of %d bytes, entry says %d", queue, offset, len(record), entry.Size)
	}
	if storeTime < -maxSpan || storeTime > maxSpan || offset < 0 || offset > maxOffset {
		return fmt.Errorf("add %s@%d: store time %d or offset out of range", queue, offset, storeTime)
	}
	last := w.block
	begun := last.Count > 0 // never false again: a flush leaves the block as it was until the next record
	if begun && queue == last.Queue && (offset != last.Next() || storeTime < last.MaxTime) ||
		begun && queue != last.Queue && compareQueues(last.Queue, queue) > 0 {
		return fmt.Errorf("%w: %s@%d stored at %d behind %s@%d stored at %d", ErrOrder, queue, offset, storeTime, last.Queue, last.Next()-1, last.MaxTime)
	}
	if begun && (queue != last.Queue || len(w.raw)+len(record) > w.config.BlockSize) {
		if err := w.flushBlock(); err != nil {
			return err
		}
	}
	if !begun || queue != last.Queue {
		w.dir.queues = append(w.dir.queues, QueueRange{Queue: queue, First: offset, FirstBlock: len(w.dir.blocks)})
	}
	if len(w.raw) == 0 {
		w.block = Block{Number: len(w.dir.blocks), Queue: queue, First: offset, MinTime: storeTime}
	}
	w.block.Count++
	w.block.MaxTime = storeTime
	w.extend(record, lent)
	w.entries = entry.AppendTo(w.entries)
	w.dir.queues[len(w.dir.queues)-1].Count++
	for _, hash := range keys {
		w.postings = append(w.postings, Posting{Hash: hash &^ (1<<hashShift - 1), Block: uint32(w.block.Number)})
	}
	w.account(len(record), storeTime)
	return nil
}

// extend adds a record to the block being filled, by no more than a longer slice if it lies behind the one before.
func (w *Writer) extend(record []byte, lent bool) {
	end := len(w.raw)
	switch {
	case lent && end == 0:
		w.raw, w.lent = record, true
	case lent && w.lent && cap(w.raw)-end >= len(record) && &w.raw[:end+1][end] == &record[0]:
		w.raw = w.raw[:end+len(record)]
	default:
		w.Keep()
		w.own = append(w.raw, record...)
		w.raw = w.own
	}
}

func (w *Writer) account(recordLen int, storeTime int64) {
	t := &w.trailer
	if t.Records == 0 {
		t.MinTime, t.MaxTime = storeTime, storeTime
	}
	t.MinTime, t.MaxTime = min(t.MinTime, storeTime), max(t.MaxTime, storeTime)
	t.Records++
	t.RawBytes += uint64(recordLen)
}

// flushBlock writes the block that was filled.
func (w *Writer) flushBlock() error {
	stored, codec := w.compress.compress(w.raw)
	header := BlockHeader{Codec: codec, Queue: w.block.Queue, First: w.block.First, Count: w.block.Count, RawLen: len(w.raw)}
	crc := tiering.Checksum(stored)
	w.frame = appendBlockHeader(w.frame[:0], header, stored, crc)
	w.block.Position, w.block.Length = w.position, len(w.frame)+len(stored)
	w.dir.blocks = append(w.dir.blocks, w.block)
	w.dir.queues[len(w.dir.queues)-1].Blocks++
	w.raw, w.lent = w.own[:0], false // what stored may alias is written before the next record comes
	if err := w.write(w.frame); err != nil {
		return err
	}
	return w.writeSummed(stored, crc)
}

// summedWriter is a destination that needs the CRC32C of all bytes, and takes what is known of it.
type summedWriter interface {
	WriteSummed(b []byte, crc uint32) (int, error)
}

func (w *Writer) writeSummed(b []byte, crc uint32) error {
	dst, ok := w.dst.(summedWriter)
	if !ok {
		return w.write(b)
	}
	n, err := dst.WriteSummed(b, crc)
	return w.wrote(n, err)
}

func (w *Writer) write(b []byte) error {
	n, err := w.dst.Write(b)
	return w.wrote(n, err)
}

func (w *Writer) wrote(n int, err error) error {
	w.position += int64(n)
	if err != nil {
		return fmt.Errorf("write sealed object at %d: %w", w.position, err)
	}
	return nil
}

// Sealed describes a finished object, so that nobody has to read it to derive what the metadata store keeps.
type Sealed struct {
	Trailer   Trailer
	Size      int64 // bytes
	Directory *Directory
	Fences    []Fence
}

// Close writes what is left, the sections behind the blocks, and the trailer. The object is whole when it returns nil.
func (w *Writer) Close() (Sealed, error) {
	if w.err == nil && w.closed {
		w.err = errors.New("segment writer is closed")
	}
	w.closed = true
	if w.err == nil && len(w.raw) > 0 {
		w.err = w.flushBlock()
	}
	if w.err != nil {
		return Sealed{}, w.err
	}
	sealed, err := w.finish()
	if err != nil {
		w.err = err
		return Sealed{}, err
	}
	w.raw, w.own, w.frame, w.entries, w.postings = nil, nil, nil, nil, nil
	return sealed, nil
}

func (w *Writer) finish() (Sealed, error) {
	t := &w.trailer
	t.Shard, t.Epoch, t.LogStart, t.LogEnd = w.config.Shard, w.config.Epoch, w.config.LogStart, w.config.LogEnd
	t.Class, t.Codec = w.config.Class, w.config.Codec
	t.Blocks, t.Queues = uint32(len(w.dir.blocks)), uint32(len(w.dir.queues))
	t.Sections[SectionBlocks] = Section{Length: w.position}
	if err := w.section(SectionColumns, w.writeColumns); err != nil {
		return Sealed{}, err
	}
	var fences []Fence
	err := w.section(SectionPostings, func() (err error) {
		fences, err = w.writePostings()
		return err
	})
	if err != nil {
		return Sealed{}, err
	}
	if err := w.checked(SectionFences, appendFences(nil, fences)); err != nil {
		return Sealed{}, err
	}
	if err := w.checked(SectionDirectory, w.dir.appendTo(nil)); err != nil {
		return Sealed{}, err
	}
	if err := w.write(t.AppendTo(nil)); err != nil {
		return Sealed{}, err
	}
	return Sealed{Trailer: *t, Size: w.position, Directory: &w.dir, Fences: fences}, nil
}

// section writes a section and notes where it lies.
func (w *Writer) section(kind SectionKind, write func() error) error {
	start := w.position
	if err := write(); err != nil {
		return err
	}
	w.trailer.Sections[kind] = Section{Position: start, Length: w.position - start}
	return nil
}

// checked writes a section whose checksum stands in the trailer.
func (w *Writer) checked(kind SectionKind, b []byte) error {
	err := w.section(kind, func() error { return w.write(b) })
	w.trailer.Sections[kind].CRC32C = tiering.Checksum(b)
	return err
}

// writeColumns writes the entries of each queue in pages.
func (w *Writer) writeColumns() error {
	w.dir.placeColumns()
	entries := w.entries
	for _, q := range w.dir.queues {
		column := entries[:q.Count*message.EntryLen]
		entries = entries[len(column):]
		for len(column) > 0 {
			page := column[:min(len(column), ColumnPageEntries*message.EntryLen)]
			column = column[len(page):]
			w.frame = appendColumnPage(w.frame[:0], page, w.position)
			if err := w.write(w.frame); err != nil {
				return err
			}
		}
	}
	return nil
}

// writePostings sorts the postings and writes them in pages.
func (w *Writer) writePostings() ([]Fence, error) {
	w.postings = slices.Compact(sortPostings(w.postings)) // a block may have many records with one key
	w.trailer.Postings = uint64(len(w.postings))
	fences := make([]Fence, 0, (len(w.postings)+PostingsPerPage-1)/PostingsPerPage)
	start := w.position
	for page := range slices.Chunk(w.postings, PostingsPerPage) {
		w.frame = appendPostingPage(w.frame[:0], page)
		fences = append(fences, Fence{First: page[0].Hash, Position: uint32(w.position - start), Length: uint32(len(w.frame))})
		if err := w.write(w.frame); err != nil {
			return nil, err
		}
	}
	return fences, nil
}
