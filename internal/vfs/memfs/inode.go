package memfs

import (
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	pageSize   = 4096
	sectorSize = 512
)

// pageMap holds the bytes of a file by page; a page that is missing reads as zeros. Zeros that were written stand
// as zeroPage, which takes room on the disk and none in memory: stores fill their files with zeros ahead.
type pageMap map[int64]*[pageSize]byte

// zeroPage is shared by all files and never changed.
var zeroPage [pageSize]byte

// zeros is what WriteZeros writes, shared for the same reason; a slice of it is never changed.
var zeros [1 << 20]byte

func (m pageMap) read(p []byte, off int64) {
	for len(p) > 0 {
		at := off % pageSize
		n := min(int(pageSize-at), len(p))
		if page := m[off/pageSize]; page != nil {
			copy(p[:n], page[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

func (m pageMap) write(p []byte, off int64) {
	for len(p) > 0 {
		at := off % pageSize
		n := min(int(pageSize-at), len(p))
		page := m[off/pageSize]
		if page == nil || page == &zeroPage {
			page = new([pageSize]byte)
			m[off/pageSize] = page
		}
		copy(page[at:], p[:n])
		p, off = p[n:], off+int64(n)
	}
}

// zero writes n zeros.
func (m pageMap) zero(off, n int64) {
	for end := off + n; off < end; {
		at := off % pageSize
		step := min(pageSize-at, end-off)
		switch page := m[off/pageSize]; {
		case page == nil || step == pageSize:
			m[off/pageSize] = &zeroPage
		case page != &zeroPage:
			clear(page[at : at+step])
		}
		off += step
	}
}

// cut drops everything from size on.
func (m pageMap) cut(size int64) {
	for i, page := range m {
		switch start := i * pageSize; {
		case start >= size:
			delete(m, i)
		case start+pageSize > size && page != &zeroPage:
			clear(page[size-start:])
		}
	}
}

func (m pageMap) clone() pageMap {
	c := make(pageMap, len(m))
	for i, page := range m {
		if page == &zeroPage {
			c[i] = page
			continue
		}
		p := *page
		c[i] = &p
	}
	return c
}

// change is a write or, with truncate, a new length, that no Sync has moved over yet.
type change struct {
	off      int64
	data     []byte
	zero     bool // data is a slice of zeros
	truncate bool
}

// write applies a write to pages.
func (c change) write(pages pageMap) {
	if c.zero {
		pages.zero(c.off, int64(len(c.data)))
		return
	}
	pages.write(c.data, c.off)
}

// inode is a file. Its file system's mutex guards it.
type inode struct {
	size    int64
	pages   pageMap
	modTime time.Time

	durableSize  int64
	durable      pageMap
	pending      []change // between the two, in the order they came
	syncErrs     int      // failed syncs so far; each handle reports each of them once
	reservedSize int64    // what Fallocate promised
}

func newInode() *inode { return &inode{pages: pageMap{}, durable: pageMap{}} }

func (n *inode) write(p []byte, off int64) {
	c := change{off: off, data: p, zero: len(p) > 0 && &p[0] == &zeros[0]}
	if !c.zero {
		c.data = slices.Clone(p)
	}
	c.write(n.pages)
	n.size = max(n.size, off+int64(len(p)))
	n.pending = append(n.pending, c)
}

func (n *inode) truncate(size int64) {
	n.pages.cut(size)
	n.size = size
	n.pending = append(n.pending, change{off: size, truncate: true})
}

// sync moves everything over.
func (n *inode) sync() {
	n.durable, n.durableSize = applyAll(n.durable, n.durableSize, n.pending)
	n.pending = nil
}

// loseSome is a sync that failed: each sector reached the disk or never will.
func (n *inode) loseSome(rng *rand.Rand) {
	n.durable, n.durableSize = applySome(n.durable, n.durableSize, n.pending, rng, CrashOptions{})
	n.pending = nil
	n.syncErrs++
}

// crashed returns the file as a disk would show it after a power cut.
func (n *inode) crashed(rng *rand.Rand, o CrashOptions) *inode {
	pages, size := applySome(n.durable.clone(), n.durableSize, n.pending, rng, o)
	return &inode{pages: pages, size: size, durable: pages.clone(), durableSize: size, modTime: n.modTime}
}

// restarted returns the file as the next process sees it.
func (n *inode) restarted() *inode {
	return &inode{
		pages: n.pages.clone(), size: n.size, modTime: n.modTime,
		durable: n.durable.clone(), durableSize: n.durableSize, pending: slices.Clone(n.pending),
	}
}

func applyAll(pages pageMap, size int64, pending []change) (pageMap, int64) {
	for _, c := range pending {
		if c.truncate {
			pages.cut(c.off)
			size = c.off
			continue
		}
		c.write(pages)
		size = max(size, c.off+int64(len(c.data)))
	}
	return pages, size
}

// applySome applies to each sector or page by itself the first k of the changes that touch it, k
// drawn anew each time: any version that was ever in the page cache may be the one that reached
// the disk. The length is one of those that the file had.
func applySome(pages pageMap, size int64, pending []change, rng *rand.Rand, o CrashOptions) (pageMap, int64) {
	switch o.Keep {
	case KeepAll:
		return applyAll(pages, size, pending)
	case KeepNone:
		return pages, size
	case KeepRandom:
	}
	unit := int64(sectorSize)
	if rng.IntN(2) == 0 {
		unit = pageSize
	}
	// Some cuts keep nearly all, some lose nearly all: even draws would never keep a long write whole.
	keep := []float64{0.05, 0.5, 0.95, 0.999, 1}[rng.IntN(5)]

	sizes := []int64{size}
	touching := make(map[int64][]change)
	for _, c := range pending {
		if c.truncate {
			size = c.off
		} else {
			size = max(size, c.off+int64(len(c.data)))
			for u := c.off / unit; u*unit < c.off+int64(len(c.data)); u++ {
				touching[u] = append(touching[u], c.within(u*unit, unit))
			}
		}
		sizes = append(sizes, size)
	}
	kept := len(sizes) - 1
	if rng.Float64() >= keep {
		kept = rng.IntN(len(sizes))
	}
	for _, c := range pending[:kept] {
		if c.truncate {
			pages.cut(c.off)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(touching)) {
		changes := touching[u]
		k := len(changes)
		if rng.Float64() >= keep {
			k = rng.IntN(k + 1)
		}
		for _, c := range changes[:k] {
			c.write(pages)
		}
	}
	pages.cut(sizes[kept])
	return pages, sizes[kept]
}

// within returns the part of a write that falls into n bytes from start.
func (c change) within(start, n int64) change {
	from := max(c.off, start)
	to := min(c.off+int64(len(c.data)), start+n)
	return change{off: from, data: c.data[from-c.off : to-c.off], zero: c.zero}
}
