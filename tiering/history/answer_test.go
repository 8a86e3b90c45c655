package history

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/segment"
)

// answerBlock returns a block of n records of queue 1/0 from offset 0 on, which is part of a range of so many bytes.
func answerBlock(n, within int) *block {
	q := message.Queue{Topic: 1}
	var records []byte
	for i := range n {
		r := message.Record{Type: message.RecordMessage, Topic: q.Topic, Body: fmt.Appendf(nil, "message %06d", i)}
		records = r.AppendTo(records)
	}
	b := &block{place: segment.Block{Queue: q, Count: n}, records: records, pins: int64(len(records))}
	if within > 0 {
		b.within, b.pins = new(window), int64(within*len(records))
	}
	return b
}

func TestAnswerKeepsLittleInMemory(t *testing.T) {
	for _, tc := range []struct {
		name                string
		records, take, size int
		shares              bool
	}{
		{"all of a block", 100, 100, 0, true},
		{"an eighth of a block", 100, 13, 0, true},
		{"little of a block", 100, 12, 0, false},
		{"a whole block of a range of eight", 100, 100, 8, true},
		{"half a block of a range of eight", 100, 50, 8, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := answerBlock(tc.records, tc.size)
			before := bytes.Clone(b.records)
			var a answer
			if n, err := a.take(b, 0, tc.take, 1<<20); err != nil || n != tc.take {
				t.Fatal(n, err)
			}
			got := a.release()
			for i, m := range got {
				if want := fmt.Sprintf("message %06d", i); string(m.Stored) != want || cap(m.Stored) != len(m.Stored) || m.Offset != message.Offset(i) {
					t.Fatalf("message %d is %q at %d with room for %d, want %q", i, m.Stored, m.Offset, cap(m.Stored), want)
				}
			}
			got[0].Stored[0] = '!'
			if shares := !bytes.Equal(before, b.records); shares != tc.shares {
				t.Fatalf("the answer shares the block's memory: %v, want %v", shares, tc.shares)
			}
		})
	}
}

func TestAnswerCountsBlocksOfOneRange(t *testing.T) {
	first, other := answerBlock(100, 16), answerBlock(100, 0)
	second := *first
	second.place.First = 100
	var a answer
	for _, b := range []*block{first, &second, other} {
		if n, err := a.take(b, b.place.First, 1000, 1<<20); err != nil || n != 100 {
			t.Fatal(n, err)
		}
	}
	got := a.release()
	if len(got) != 300 || a.bytes != 300*len("message 000000") {
		t.Fatal(len(got), a.bytes)
	}
	if &got[0].Stored[0] != &first.records[message.EnvelopeLen] {
		t.Fatal("two blocks are an eighth of their range, but were copied")
	}
}
