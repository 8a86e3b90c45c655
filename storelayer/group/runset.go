package group

import (
	"slices"
	"sort"

	"github.com/stratamq/stratamq/message"
)

// chunkRuns is the number of runs at which a chunk is split: an insertion moves at most 8 KiB.
const chunkRuns = 512

// runSet is a set of offsets, kept as sorted runs that neither touch nor overlap. The runs stand in chunks, so
// that a set of a million runs (every other message settled) takes an insertion without moving them all.
type runSet struct {
	chunks [][]Run // none empty
	count  int64   // offsets in all runs
}

// find returns where the first run with End > o stands; chunk = len(s.chunks) if there is none.
func (s *runSet) find(o message.Offset) (chunk, i int) {
	chunk = sort.Search(len(s.chunks), func(c int) bool {
		runs := s.chunks[c]
		return runs[len(runs)-1].End > o
	})
	if chunk == len(s.chunks) {
		return chunk, 0
	}
	runs := s.chunks[chunk]
	return chunk, sort.Search(len(runs), func(i int) bool { return runs[i].End > o })
}

// at returns the run that holds o.
func (s *runSet) at(o message.Offset) (Run, bool) {
	if len(s.chunks) == 0 {
		return Run{}, false
	}
	c, i := s.find(o)
	if c == len(s.chunks) || s.chunks[c][i].First > o {
		return Run{}, false
	}
	return s.chunks[c][i], true
}

// first returns the lowest run.
func (s *runSet) first() (Run, bool) {
	if len(s.chunks) == 0 {
		return Run{}, false
	}
	return s.chunks[0][0], true
}

// add puts all offsets of r into the set.
func (s *runSet) add(r Run) {
	if r.First >= r.End {
		return
	}
	c, i := s.find(r.First - 1) // a run that ends at r.First touches r
	for c < len(s.chunks) && s.chunks[c][i].First <= r.End {
		old := s.chunks[c][i]
		r.First, r.End = min(r.First, old.First), max(r.End, old.End)
		c, i = s.remove(c, i)
	}
	s.insert(c, i, r)
}

// trim removes all offsets below o.
func (s *runSet) trim(o message.Offset) {
	for len(s.chunks) > 0 && s.chunks[0][0].First < o {
		run := s.chunks[0][0]
		if run.End > o {
			s.count -= int64(o - run.First)
			s.chunks[0][0].First = o
			return
		}
		s.remove(0, 0)
	}
}

// countIn returns how many offsets of r are in the set.
func (s *runSet) countIn(r Run) int64 {
	n := int64(0)
	for run := range s.all(r.First) {
		if run.First >= r.End {
			break
		}
		n += int64(min(run.End, r.End) - max(run.First, r.First))
	}
	return n
}

// all yields the runs that end above o, in order.
func (s *runSet) all(o message.Offset) func(yield func(Run) bool) {
	return func(yield func(Run) bool) {
		c, i := s.find(o)
		for ; c < len(s.chunks); c, i = c+1, 0 {
			for _, run := range s.chunks[c][i:] {
				if !yield(run) {
					return
				}
			}
		}
	}
}

// runs returns how many runs there are.
func (s *runSet) runs() int {
	n := 0
	for _, chunk := range s.chunks {
		n += len(chunk)
	}
	return n
}

// remove takes out one run and returns where the next one stands.
func (s *runSet) remove(c, i int) (chunk, index int) {
	runs := s.chunks[c]
	s.count -= int64(runs[i].End - runs[i].First)
	if len(runs) == 1 {
		s.chunks = slices.Delete(s.chunks, c, c+1)
		return c, 0
	}
	runs = slices.Delete(runs, i, i+1)
	s.chunks[c] = runs
	if i == len(runs) {
		return c + 1, 0
	}
	return c, i
}

// insert puts a run before the place (c, i), which is that of the next higher run.
func (s *runSet) insert(c, i int, r Run) {
	s.count += int64(r.End - r.First)
	if i == 0 && c > 0 {
		c, i = c-1, len(s.chunks[c-1])
	}
	if len(s.chunks) == 0 {
		s.chunks = append(s.chunks, make([]Run, 0, 4))
	}
	runs := slices.Insert(s.chunks[c], i, r)
	if len(runs) < chunkRuns {
		s.chunks[c] = runs
		return
	}
	half := len(runs) / 2
	s.chunks[c] = runs[:half:half]
	s.chunks = slices.Insert(s.chunks, c+1, slices.Clone(runs[half:]))
}
