package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/stratamq/stratamq/message"
)

// maxFileEntries bounds the entries and the postings of a file: a segment of 4 GiB holds fewer.
const maxFileEntries = 1 << 28

// SegmentFile reads the file of one segment. It is safe for concurrent use.
type SegmentFile struct {
	r        io.ReaderAt
	base     message.Position
	queues   int
	entries  int64
	postings int64
	buckets  []byte // where each bucket begins
}

// dirEntry is a queue's part of a file.
type dirEntry struct {
	queue      message.Queue
	count      uint32
	first      message.Offset
	firstEntry uint64
}

// OpenSegmentFile checks a segment's file of size bytes whole, once. The reader stays the caller's, who keeps it
// open until [Table.Drop] has returned the file. It fails with message.ErrCorrupt; the caller deletes the file
// then, and makes it again from the frames.
func OpenSegmentFile(r io.ReaderAt, size int64) (*SegmentFile, error) {
	var head [fileHeadLen]byte
	if size < fileHeadLen+bucketsLen+crcLen {
		return nil, fmt.Errorf("%w: consumeQueue file of %d bytes", message.ErrCorrupt, size)
	}
	if err := readFull(r, head[:], 0); err != nil {
		return nil, err
	}
	f := &SegmentFile{
		r:      r,
		base:   message.Position(binary.LittleEndian.Uint64(head[8:])),
		queues: int(binary.LittleEndian.Uint32(head[16:])),
	}
	entries, postings := binary.LittleEndian.Uint64(head[20:]), binary.LittleEndian.Uint64(head[28:])
	if string(head[:4]) != fileMagic || binary.LittleEndian.Uint16(head[4:]) != fileVersion ||
		binary.LittleEndian.Uint16(head[6:]) != 0 || entries > maxFileEntries || postings > maxFileEntries {
		return nil, fmt.Errorf("%w: head of a consumeQueue file", message.ErrCorrupt)
	}
	f.entries, f.postings = int64(entries), int64(postings)
	if size != f.end()+crcLen {
		return nil, fmt.Errorf("%w: consumeQueue file of %d bytes, its head says %d", message.ErrCorrupt, size, f.end()+crcLen)
	}
	if err := f.checksum(); err != nil {
		return nil, err
	}
	f.buckets = make([]byte, bucketsLen)
	if err := readFull(r, f.buckets, f.bucketsAt()); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// Base returns the position at which the segment starts.
func (f *SegmentFile) Base() message.Position { return f.base }

// Reader returns what the file was opened with, for the caller to close.
func (f *SegmentFile) Reader() io.ReaderAt { return f.r }

func (f *SegmentFile) entriesAt() int64  { return fileHeadLen + int64(f.queues)*dirLen }
func (f *SegmentFile) bucketsAt() int64  { return f.entriesAt() + f.entries*entryLen }
func (f *SegmentFile) postingsAt() int64 { return f.bucketsAt() + bucketsLen }
func (f *SegmentFile) end() int64        { return f.postingsAt() + f.postings*postingLen }

// checksum reads the file once.
func (f *SegmentFile) checksum() error {
	buf := make([]byte, min(f.end(), 256<<10))
	sum := uint32(0)
	for at := int64(0); at < f.end(); {
		n := min(int64(len(buf)), f.end()-at)
		if err := readFull(f.r, buf[:n], at); err != nil {
			return err
		}
		sum = crc32.Update(sum, castagnoli, buf[:n])
		at += n
	}
	if err := readFull(f.r, buf[:crcLen], f.end()); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(buf) != sum {
		return fmt.Errorf("%w: checksum of a consumeQueue file", message.ErrCorrupt)
	}
	return nil
}

// check checks that directory and buckets fit the rest, which a checksum cannot promise of a wrong writer.
func (f *SegmentFile) check() error {
	entries := uint64(0)
	last := message.Queue{}
	i := 0
	for d, err := range f.directory() {
		if err != nil {
			return err
		}
		if d.count == 0 || d.firstEntry != entries || d.first < 0 || d.first > maxOffset || i > 0 && compareQueues(last, d.queue) >= 0 {
			return fmt.Errorf("%w: directory of a consumeQueue file", message.ErrCorrupt)
		}
		last = d.queue
		entries += uint64(d.count)
		i++
	}
	at := uint32(0)
	for i := 0; i < bucketsLen; i += 4 {
		next := binary.LittleEndian.Uint32(f.buckets[i:])
		if next < at || i == 0 && next != 0 {
			return fmt.Errorf("%w: buckets of a consumeQueue file", message.ErrCorrupt)
		}
		at = next
	}
	if entries != uint64(f.entries) || int64(at) != f.postings {
		return fmt.Errorf("%w: counts of a consumeQueue file", message.ErrCorrupt)
	}
	return nil
}

// directory yields the queues of the file, or one error.
func (f *SegmentFile) directory() func(yield func(dirEntry, error) bool) {
	return func(yield func(dirEntry, error) bool) {
		buf := make([]byte, min(f.queues, 1024)*dirLen)
		for i := 0; i < f.queues; {
			b := buf[:min(f.queues-i, 1024)*dirLen]
			if err := readFull(f.r, b, fileHeadLen+int64(i)*dirLen); err != nil {
				yield(dirEntry{}, err)
				return
			}
			for ; len(b) > 0; b = b[dirLen:] {
				d := dirEntry{
					queue: message.Queue{
						Topic: message.TopicID(binary.LittleEndian.Uint64(b)),
						ID:    message.QueueID(binary.LittleEndian.Uint32(b[8:])),
					},
					count:      binary.LittleEndian.Uint32(b[12:]),
					first:      message.Offset(binary.LittleEndian.Uint64(b[16:])),
					firstEntry: binary.LittleEndian.Uint64(b[24:]),
				}
				i++
				if !yield(d, nil) {
					return
				}
			}
		}
	}
}

// read reads the encoded entries from number i on into buf.
func (f *SegmentFile) read(buf []byte, i uint64) error {
	return readFull(f.r, buf, f.entriesAt()+int64(i)*entryLen)
}

// lookup appends the positions of a hash, newest first, until dst has limit.
func (f *SegmentFile) lookup(dst []message.Position, hash uint64, limit int) ([]message.Position, error) {
	b := bucketOf(hash)
	first := binary.LittleEndian.Uint32(f.buckets[4*b:])
	end := binary.LittleEndian.Uint32(f.buckets[4*b+4:])
	if first == end {
		return dst, nil
	}
	bucket := make([]byte, int(end-first)*postingLen)
	if err := readFull(f.r, bucket, f.postingsAt()+int64(first)*postingLen); err != nil {
		return dst, err
	}
	return searchBucket(dst, bucket, f.base, hash, limit), nil
}

// readFull fills buf. A file that ends too early is corrupt; another error is the disk's.
func readFull(r io.ReaderAt, buf []byte, at int64) error {
	n, err := r.ReadAt(buf, at)
	if n == len(buf) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: consumeQueue file ends before %d", message.ErrCorrupt, at+int64(len(buf)))
	}
	return fmt.Errorf("read consumeQueue file: %w", err)
}
