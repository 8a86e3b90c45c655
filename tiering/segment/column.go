package segment

import (
	"encoding/binary"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

const (
	// ColumnPageEntries is how many entries a full page of a column has.
	ColumnPageEntries = 512

	columnPageLen = ColumnPageEntries*message.EntryLen + crcLen
	crcLen        = 4
)

// Column is where the consumeQueue entries of one queue lie: pages of 512, the last one shorter, each behind the other.
// It answers tags, order keys and counts without a body.
//
//	0                                 24n      24n+4
//	┌─────────┬─────────┬───┬─────────┬────────┐   n = 512, in the last page what is left
//	│ entry 0 │ entry 1 │ … │ entry n │ crc32c │   the checksum is over the entries and the position of the page
//	└─────────┴─────────┴───┴─────────┴────────┘
//
// Entries have no offset of their own: the first one is that of the queue's first offset, the rest follow without holes.
type Column struct {
	Position int64 // in the object, in bytes
	Count    int   // entries
}

// Len returns the column's size in bytes.
func (c Column) Len() int64 {
	pages := (c.Count + ColumnPageEntries - 1) / ColumnPageEntries
	return int64(c.Count)*message.EntryLen + int64(pages)*crcLen
}

// pages returns where the pages with the entries [from, from+n) lie: the position and length of the range, and the number
// of the first page.
func (c Column) pages(from, n int) (position int64, length, page int) {
	page = from / ColumnPageEntries
	last := (from + n - 1) / ColumnPageEntries
	position = c.Position + int64(page)*columnPageLen
	end := c.Position + min(int64(last+1)*columnPageLen, c.Len())
	return position, int(end - position), page
}

// appendColumnPage closes a page whose entries are the last n bytes of dst; position is that of the page in the object.
func appendColumnPage(dst, entries []byte, position int64) []byte {
	dst = append(dst, entries...)
	return binary.LittleEndian.AppendUint32(dst, columnChecksum(entries, position))
}

// columnChecksum covers the position too: a page of another queue, read by mistake, is then no valid page.
func columnChecksum(entries []byte, position int64) uint32 {
	return tiering.UpdateChecksum(tiering.Checksum(binary.LittleEndian.AppendUint64(nil, uint64(position))), entries)
}

// DecodeColumnPage appends the entries of the page that src is and that lies at position in its object. It fails with
// [message.ErrCorrupt].
func DecodeColumnPage(dst []message.Entry, src []byte, position int64) ([]message.Entry, error) {
	n := (len(src) - crcLen) / message.EntryLen
	if len(src) < crcLen+message.EntryLen || len(src) != n*message.EntryLen+crcLen || n > ColumnPageEntries {
		return nil, fmt.Errorf("%w: column page of %d bytes", message.ErrCorrupt, len(src))
	}
	entries := src[:n*message.EntryLen]
	want := binary.LittleEndian.Uint32(src[len(entries):])
	if got := columnChecksum(entries, position); got != want {
		return nil, fmt.Errorf("%w: column page at %d has CRC32C %08x, not %08x", message.ErrCorrupt, position, got, want)
	}
	for i := range n {
		entry, err := message.DecodeEntry(entries[i*message.EntryLen:])
		if err != nil {
			return nil, err
		}
		dst = append(dst, entry)
	}
	return dst, nil
}
