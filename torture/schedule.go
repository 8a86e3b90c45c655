package main

import (
	"cmp"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/stratamq/stratamq/torture/broker"
)

// schedule gives every failpoint its turn.
type schedule struct {
	hits string // file in which they are counted
	only string // this point alone; empty: all

	lives   int
	at      map[string]int // ends at each
	armed   string         // in this life; empty: none
	problem error          // with the file
}

func (o *options) newSchedule(hits string) schedule {
	return schedule{hits: hits, only: o.point, at: make(map[string]int)}
}

// choose arms the failpoint that has seen the fewest ends, one of them by chance, at one of the hits that it has
// in a usual life. There is none before the first life, which tells their names.
func (s *schedule) choose(rng *rand.Rand) (point string, hit int64) {
	hits := s.counts()
	s.armed = ""
	if s.only != "" {
		hits = map[string]int64{s.only: hits[s.only]}
	}
	if len(hits) == 0 {
		return "", 0
	}
	names := slices.Sorted(maps.Keys(hits))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(s.at[a], s.at[b]) })
	few := 0
	for few < len(names) && s.at[names[few]] == s.at[names[0]] {
		few++
	}
	s.armed = names[rng.IntN(few)]
	usual := max(hits[s.armed]/int64(s.lives)/2, 1)
	return s.armed, 1 + rng.Int64N(usual)
}

// came notes an end at the armed failpoint, if one is armed.
func (s *schedule) came() {
	if s.armed != "" {
		s.at[s.armed]++
	}
}

// reached returns what says whether the process that starts next has come to that hit of a point.
func (s *schedule) reached(point string, hit int64) func() bool {
	from, err := broker.HitsEnd(s.hits)
	s.problem = errors.Join(s.problem, err)
	return func() bool {
		yes, err := broker.Reached(s.hits, from, point, hit)
		return yes || err != nil // without an answer there is no sense in waiting
	}
}

func (s *schedule) counts() map[string]int64 {
	hits, err := broker.Hits(s.hits)
	s.problem = errors.Join(s.problem, err)
	return hits
}
