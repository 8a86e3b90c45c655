package segment

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// Source gives ranges of one object, exactly or not at all.
type Source interface {
	GetRange(ctx context.Context, dst []byte, off int64) error
}

// Object returns the source of an object in a store.
func Object(store tiering.ObjectStore, key string) Source { return object{store, key} }

type object struct {
	store tiering.ObjectStore
	key   string
}

func (o object) GetRange(ctx context.Context, dst []byte, off int64) error {
	return o.store.GetRange(ctx, o.key, dst, off)
}

// tailLen is what Open reads first: trailer and directory of most objects.
const tailLen = 64 << 10

// Reader reads one sealed object. It keeps trailer, directory and fences in memory, no blocks. Its methods may be called
// from many goroutines.
type Reader struct {
	src     Source
	size    int64
	trailer Trailer
	dir     *Directory

	mu struct {
		sync.Mutex
		fences []Fence // nil before the first lookup
	}
}

// Open reads trailer and directory of an object of size bytes: one request, two if they are larger than 64 KiB. It fails
// with [message.ErrCorrupt], or as the source does.
func Open(ctx context.Context, src Source, size int64) (*Reader, error) {
	if size < TrailerLen {
		return nil, fmt.Errorf("open sealed object: %w: %d bytes", message.ErrCorrupt, size)
	}
	tail := make([]byte, min(size, tailLen))
	if err := src.GetRange(ctx, tail, size-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("read end of sealed object: %w", err)
	}
	trailer, err := DecodeTrailer(tail, size)
	if err != nil {
		return nil, fmt.Errorf("open sealed object: %w", err)
	}
	r := &Reader{src: src, size: size, trailer: trailer}
	encoded, err := r.section(ctx, SectionDirectory, tail)
	if err != nil {
		return nil, fmt.Errorf("read directory of sealed object: %w", err)
	}
	if r.dir, err = DecodeDirectory(encoded); err != nil {
		return nil, fmt.Errorf("open sealed object: %w", err)
	}
	if err := r.checkLayout(); err != nil {
		return nil, fmt.Errorf("open sealed object: %w", err)
	}
	return r, nil
}

// section returns a section that has a checksum in the trailer. Tail is the end of the object, as far as it was read.
func (r *Reader) section(ctx context.Context, kind SectionKind, tail []byte) ([]byte, error) {
	s := r.trailer.Sections[kind]
	var b []byte
	if start := s.Position - (r.size - int64(len(tail))); start >= 0 {
		b = tail[start : start+s.Length]
	} else {
		b = make([]byte, s.Length)
		if err := r.src.GetRange(ctx, b, s.Position); err != nil {
			return nil, err
		}
	}
	if got := tiering.Checksum(b); got != s.CRC32C {
		return nil, fmt.Errorf("%w: %v has CRC32C %08x, not %08x", message.ErrCorrupt, kind, got, s.CRC32C)
	}
	return b, nil
}

// checkLayout compares what directory and trailer say about the same things.
func (r *Reader) checkLayout() error {
	records := uint64(0)
	for q := range r.dir.Queues() {
		records += uint64(q.Count)
	}
	columns := r.trailer.Sections[SectionColumns]
	if r.dir.end() != columns.Position || r.dir.placeColumns() != columns.Position+columns.Length || records != r.trailer.Records ||
		r.dir.NumBlocks() != int(r.trailer.Blocks) || r.dir.NumQueues() != int(r.trailer.Queues) {
		return fmt.Errorf("%w: directory of %d queues, %d blocks, %d records does not fit the trailer's %d, %d, %d",
			message.ErrCorrupt, r.dir.NumQueues(), r.dir.NumBlocks(), records, r.trailer.Queues, r.trailer.Blocks, r.trailer.Records)
	}
	return nil
}

// Trailer returns the object's trailer.
func (r *Reader) Trailer() Trailer { return r.trailer }

// Size returns the object's size in bytes.
func (r *Reader) Size() int64 { return r.size }

// Directory returns the object's directory.
func (r *Reader) Directory() *Directory { return r.dir }

// Block reads a block of this object, verifies it and returns its records, which belong to the caller.
func (r *Reader) Block(ctx context.Context, b Block) (BlockHeader, []byte, error) {
	stored := make([]byte, b.Length)
	if err := r.src.GetRange(ctx, stored, b.Position); err != nil {
		return BlockHeader{}, nil, fmt.Errorf("read block %d: %w", b.Number, err)
	}
	h, records, err := b.Decode(nil, stored)
	if err != nil {
		return BlockHeader{}, nil, fmt.Errorf("block %d: %w", b.Number, err)
	}
	return h, records, nil
}

// Entries reads up to n consumeQueue entries of a queue from an offset on, in one request. It returns none for offsets that
// the object does not have.
func (r *Reader) Entries(ctx context.Context, queue message.Queue, from message.Offset, n int) ([]message.Entry, error) {
	q, ok := r.dir.Find(queue)
	if !ok || from < q.First || from >= q.Next() || n <= 0 {
		return nil, nil
	}
	n = min(n, int(q.Next()-from))
	skip := int(from - q.First)
	position, length, page := q.Column.pages(skip, n)
	src := make([]byte, length)
	if err := r.src.GetRange(ctx, src, position); err != nil {
		return nil, fmt.Errorf("read entries of %s: %w", queue, err)
	}
	entries := make([]message.Entry, 0, n+2*ColumnPageEntries)
	for len(src) > 0 {
		k := min(len(src), columnPageLen)
		var err error
		if entries, err = DecodeColumnPage(entries, src[:k], position); err != nil {
			return nil, fmt.Errorf("entries of %s: %w", queue, err)
		}
		src, position = src[k:], position+int64(k)
	}
	skip -= page * ColumnPageEntries
	if len(entries) < skip+n {
		return nil, fmt.Errorf("entries of %s: %w: %d in pages for %d", queue, message.ErrCorrupt, len(entries), skip+n)
	}
	return entries[skip : skip+n : skip+n], nil
}

// Fences returns the fences of the posting pages, and reads them the first time.
func (r *Reader) Fences(ctx context.Context) ([]Fence, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.fences != nil {
		return r.mu.fences, nil
	}
	encoded, err := r.section(ctx, SectionFences, nil)
	if err != nil {
		return nil, fmt.Errorf("read fences: %w", err)
	}
	fences, err := DecodeFences(encoded)
	if err != nil {
		return nil, err
	}
	end := int64(0)
	if len(fences) > 0 {
		last := fences[len(fences)-1]
		end = int64(last.Position) + int64(last.Length)
	}
	if end != r.trailer.Sections[SectionPostings].Length {
		return nil, fmt.Errorf("%w: fences end at %d of %d bytes of postings", message.ErrCorrupt, end, r.trailer.Sections[SectionPostings].Length)
	}
	r.mu.fences = fences
	return fences, nil
}

// Lookup returns the blocks that have records with a key, by its [message.IndexKey], in ascending order: one small request
// once the fences are there. A block may turn out to have none, since different keys may share a hash.
func (r *Reader) Lookup(ctx context.Context, hash uint64) ([]Block, error) {
	fences, err := r.Fences(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := LookupBlocks(ctx, r.src, r.trailer.Sections[SectionPostings].Position, FencesFor(fences, hash), hash)
	if err != nil {
		return nil, err
	}
	blocks := make([]Block, 0, len(numbers))
	for _, number := range numbers {
		b, ok := r.dir.Block(int(number))
		if !ok {
			return nil, fmt.Errorf("%w: posting of block %d of %d", message.ErrCorrupt, number, r.dir.NumBlocks())
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// LookupBlocks reads the posting pages behind some fences, in one request, and returns the numbers of the blocks with the
// hash in ascending order. Postings is the position of the section in the object. It needs no directory: fences from
// elsewhere will do.
func LookupBlocks(ctx context.Context, src Source, postings int64, fences []Fence, hash uint64) ([]uint32, error) {
	if len(fences) == 0 {
		return nil, nil
	}
	first, last := fences[0], fences[len(fences)-1]
	b := make([]byte, int64(last.Position)+int64(last.Length)-int64(first.Position))
	if err := src.GetRange(ctx, b, postings+int64(first.Position)); err != nil {
		return nil, fmt.Errorf("read postings: %w", err)
	}
	var numbers []uint32
	var page PostingPage
	for _, f := range fences {
		var n int
		var err error
		if page, n, err = DecodePostingPage(page[:0], b); err != nil {
			return nil, err
		}
		if n != int(f.Length) || page[0].Hash != f.First {
			return nil, fmt.Errorf("%w: posting page of %d bytes from hash %016x where the fence has %d from %016x", message.ErrCorrupt, n, page[0].Hash, f.Length, f.First)
		}
		numbers = page.Blocks(numbers, hash)
		b = b[n:]
	}
	return slices.Compact(numbers), nil
}
