package queue

import (
	"math/bits"

	"github.com/stratamq/stratamq/message"
)

// The slabs of a queue double from 16 entries to 1,024, so that a queue with one message costs little and one with a
// million is never copied.
const (
	firstSlab   = 16
	lastSlab    = 1024
	growingSlab = 6                    // slabs before the first of lastSlab entries
	inGrowing   = lastSlab - firstSlab // entries in them: 16 + 32 + … + 512
	slabShift   = 4                    // log2(firstSlab)
	entryLen    = message.EntryLen
)

// slabs holds the entries of one queue in one segment, without pointers but those to the slabs.
type slabs struct {
	parts [][]byte
	count uint32
}

// place returns the slab of entry i and the entry's index in it.
func place(i uint32) (slab, index int) {
	if i < inGrowing {
		slab = bits.Len32((i+firstSlab)>>slabShift) - 1
		return slab, int(i) + firstSlab - firstSlab<<slab
	}
	i -= inGrowing
	return growingSlab + int(i/lastSlab), int(i % lastSlab)
}

func (s *slabs) append(e message.Entry) {
	slab, index := place(s.count)
	if index == 0 {
		s.parts = append(s.parts, make([]byte, 0, min(firstSlab<<slab, lastSlab)*entryLen))
	}
	s.parts[slab] = e.AppendTo(s.parts[slab])
	s.count++
}

// bytes returns the encoded entries from i on that lie in one slab, at most n.
func (s *slabs) bytes(i uint32, n int) []byte {
	slab, index := place(i)
	part := s.parts[slab]
	return part[index*entryLen : min(len(part), (index+n)*entryLen)]
}
