package group

import (
	"testing"

	"github.com/stratamq/stratamq/message"
)

func TestRunSet(t *testing.T) {
	var s runSet
	for o := message.Offset(0); o < 10_000; o += 2 {
		s.add(Run{First: o, End: o + 1})
	}
	if s.runs() != 5000 || s.count != 5000 {
		t.Fatalf("%d runs, %d offsets", s.runs(), s.count)
	}
	for _, chunk := range s.chunks {
		if len(chunk) >= chunkRuns {
			t.Errorf("chunk of %d runs", len(chunk))
		}
	}
	for o := message.Offset(9_999); o > 0; o -= 2 {
		s.add(Run{First: o, End: o + 1})
	}
	if run, ok := s.first(); !ok || s.runs() != 1 || run != (Run{0, 10_000}) {
		t.Fatalf("%v, %d runs", run, s.runs())
	}
	s.trim(400)
	if s.count != 9_600 || s.countIn(Run{0, 500}) != 100 {
		t.Errorf("%d offsets, %d below 500", s.count, s.countIn(Run{0, 500}))
	}
}
