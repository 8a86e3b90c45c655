package segment

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"sort"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

const (
	postingMagic     = 0x504b // "KP"
	postingHeaderLen = 20

	// PostingsPerPage is how many postings a full page has: some 6 KiB, one small read.
	PostingsPerPage = 1024

	// hashShift is how many low bits of a hash are dropped: 56 of 64 bits find a key as well, since whoever looks up
	// compares the text, and cost a byte less per posting.
	hashShift = 8
)

// Posting says that a block has a record with that key.
type Posting struct {
	Hash  uint64 // [message.IndexKey]; its low 8 bits are zero
	Block uint32 // number of the block in the object
}

// sortPostings sorts by hash what is in order of blocks, and keeps that order among equal hashes. It overwrites p. Hashes
// are spread evenly, so a radix sort of their 56 bits takes a tenth of the time of one that compares.
func sortPostings(p []Posting) []Posting {
	const digit, passes = 14, (64 - hashShift) / 14
	from, to := p, make([]Posting, len(p))
	for pass := range passes {
		shift := hashShift + pass*digit
		var next [1 << digit]uint32
		for _, posting := range from {
			next[posting.Hash>>shift&(1<<digit-1)]++
		}
		sum := uint32(0)
		for i, n := range next {
			next[i] = sum
			sum += n
		}
		for _, posting := range from {
			i := posting.Hash >> shift & (1<<digit - 1)
			to[next[i]] = posting
			next[i]++
		}
		from, to = to, from
	}
	return from
}

// PostingPage is a run of postings in order of hash and block, with fixed numbers of bits:
//
//	0       2            3            4       8             16       20            20+m
//	┌───────┬────────────┬────────────┬───────┬─────────────┬────────┬─────────────┐   m = ⌈n·(d+b)/8⌉
//	│ magic │ delta bits │ block bits │ count │ first hash  │ crc32c │ n postings  │   d, b = delta bits, block bits
//	└───────┴────────────┴────────────┴───────┴─────────────┴────────┴─────────────┘
//
// A posting is b bits of block number and d bits of the distance to the hash before, low bits first, in units of 2^8. The
// first one's distance is to the first hash of the header, so it is zero. The checksum is over everything but itself.
type PostingPage []Posting

// appendPostingPage appends a page of 1 to PostingsPerPage sorted postings.
func appendPostingPage(dst []byte, page PostingPage) []byte {
	var maxDelta uint64
	var maxBlock uint32
	previous := page[0].Hash
	for _, p := range page {
		maxDelta = max(maxDelta, (p.Hash-previous)>>hashShift)
		maxBlock = max(maxBlock, p.Block)
		previous = p.Hash
	}
	deltaBits, blockBits := bits.Len64(maxDelta), bits.Len32(maxBlock)
	start := len(dst)
	dst = binary.LittleEndian.AppendUint16(dst, postingMagic)
	dst = append(dst, byte(deltaBits), byte(blockBits))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(page)))
	dst = binary.LittleEndian.AppendUint64(dst, page[0].Hash)
	dst = append(dst, 0, 0, 0, 0)
	w := bitWriter{dst: dst}
	previous = page[0].Hash
	for _, p := range page {
		w.write(uint64(p.Block), blockBits)
		w.write((p.Hash-previous)>>hashShift, deltaBits)
		previous = p.Hash
	}
	dst = w.flush()
	binary.LittleEndian.PutUint32(dst[start+16:], postingChecksum(dst[start:]))
	return dst
}

func postingChecksum(page []byte) uint32 {
	return tiering.UpdateChecksum(tiering.Checksum(page[:16]), page[postingHeaderLen:])
}

// DecodePostingPage appends the postings of the page at the head of src and returns its length in bytes. It fails with
// [message.ErrCorrupt].
func DecodePostingPage(dst PostingPage, src []byte) (PostingPage, int, error) {
	if len(src) < postingHeaderLen {
		return nil, 0, fmt.Errorf("%w: posting page in %d bytes", message.ErrCorrupt, len(src))
	}
	deltaBits, blockBits := int(src[2]), int(src[3])
	count := binary.LittleEndian.Uint32(src[4:])
	hash := binary.LittleEndian.Uint64(src[8:])
	if binary.LittleEndian.Uint16(src) != postingMagic || deltaBits > 64-hashShift || blockBits > 32 ||
		count < 1 || count > PostingsPerPage || hash&(1<<hashShift-1) != 0 {
		return nil, 0, fmt.Errorf("%w: posting page with %d+%d bits, %d postings", message.ErrCorrupt, deltaBits, blockBits, count)
	}
	n := postingHeaderLen + (int(count)*(deltaBits+blockBits)+7)/8
	if len(src) < n {
		return nil, 0, fmt.Errorf("%w: posting page of %d bytes in %d", message.ErrCorrupt, n, len(src))
	}
	want := binary.LittleEndian.Uint32(src[16:])
	if got := postingChecksum(src[:n]); got != want {
		return nil, 0, fmt.Errorf("%w: posting page has CRC32C %08x, not %08x", message.ErrCorrupt, got, want)
	}
	r := bitReader{src: src[postingHeaderLen:n]}
	dst = slices.Grow(dst, int(count))
	for i := range count {
		block, delta := uint32(r.read(blockBits)), r.read(deltaBits)<<hashShift
		if i == 0 && delta != 0 || hash+delta < hash {
			return nil, 0, fmt.Errorf("%w: posting page out of order", message.ErrCorrupt)
		}
		hash += delta
		dst = append(dst, Posting{Hash: hash, Block: block})
	}
	return dst, n, nil
}

// Fence finds the posting page of a hash. All fences of an object are one section:
//
//	0            8          12       16
//	┌────────────┬──────────┬────────┬───┐
//	│ first hash │ position │ length │ … │   position counts from the begin of the posting pages
//	└────────────┴──────────┴────────┴───┘
type Fence struct {
	First    uint64 // hash of the page's first posting
	Position uint32 // bytes
	Length   uint32 // bytes
}

const fenceLen = 16

func appendFences(dst []byte, fences []Fence) []byte {
	for _, f := range fences {
		dst = binary.LittleEndian.AppendUint64(dst, f.First)
		dst = binary.LittleEndian.AppendUint32(dst, f.Position)
		dst = binary.LittleEndian.AppendUint32(dst, f.Length)
	}
	return dst
}

// DecodeFences decodes a whole section of fences; its checksum is in the trailer. It fails with [message.ErrCorrupt] if
// they are not in order or do not lie one behind the other.
func DecodeFences(src []byte) ([]Fence, error) {
	if len(src)%fenceLen != 0 {
		return nil, fmt.Errorf("%w: fences of %d bytes", message.ErrCorrupt, len(src))
	}
	fences := make([]Fence, 0, len(src)/fenceLen)
	next := uint64(0)
	for ; len(src) > 0; src = src[fenceLen:] {
		f := Fence{
			First:    binary.LittleEndian.Uint64(src),
			Position: binary.LittleEndian.Uint32(src[8:]),
			Length:   binary.LittleEndian.Uint32(src[12:]),
		}
		if uint64(f.Position) != next || f.Length < postingHeaderLen || len(fences) > 0 && f.First < fences[len(fences)-1].First {
			return nil, fmt.Errorf("%w: fence %d at %d, expected %d", message.ErrCorrupt, len(fences), f.Position, next)
		}
		next += uint64(f.Length)
		fences = append(fences, f)
	}
	return fences, nil
}

// FencesFor returns the fences whose pages may have postings of hash: one, or more if the hash has very many. It is
// empty if there are none. The pages lie one behind the other.
func FencesFor(fences []Fence, hash uint64) []Fence {
	hash &^= 1<<hashShift - 1
	// A page that begins with the hash may follow one that ends with it.
	from := max(0, sort.Search(len(fences), func(i int) bool { return fences[i].First >= hash })-1)
	to := sort.Search(len(fences), func(i int) bool { return fences[i].First > hash })
	if from >= to {
		return nil
	}
	return fences[from:to]
}

// Blocks appends to dst the numbers of the blocks that have a record with that hash, in ascending order.
func (p PostingPage) Blocks(dst []uint32, hash uint64) []uint32 {
	hash &^= 1<<hashShift - 1
	for i := sort.Search(len(p), func(i int) bool { return p[i].Hash >= hash }); i < len(p) && p[i].Hash == hash; i++ {
		dst = append(dst, p[i].Block)
	}
	return dst
}

// bitWriter appends numbers of up to 64 bits, low bits first.
type bitWriter struct {
	dst  []byte
	acc  uint64
	used int // bits of acc, below 8 between calls
}

func (w *bitWriter) write(v uint64, n int) {
	for n > 0 {
		take := min(n, 56) // together with what acc holds it fits
		w.acc |= v & (1<<take - 1) << w.used
		w.used += take
		v >>= take
		n -= take
		for w.used >= 8 {
			w.dst = append(w.dst, byte(w.acc))
			w.acc >>= 8
			w.used -= 8
		}
	}
}

func (w *bitWriter) flush() []byte {
	if w.used > 0 {
		w.dst = append(w.dst, byte(w.acc))
		w.acc, w.used = 0, 0
	}
	return w.dst
}

// bitReader is the inverse. Its caller checks that there are enough bytes.
type bitReader struct {
	src  []byte
	acc  uint64
	have int // bits of acc, below 8 between calls
}

func (r *bitReader) read(n int) uint64 {
	v, got := uint64(0), 0
	for got < n {
		take := min(n-got, 56)
		for r.have < take {
			r.acc |= uint64(r.src[0]) << r.have
			r.src = r.src[1:]
			r.have += 8
		}
		v |= r.acc & (1<<take - 1) << got
		r.acc >>= take
		r.have -= take
		got += take
	}
	return v
}
