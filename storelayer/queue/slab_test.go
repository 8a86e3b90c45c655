package queue

import (
	"testing"

	"github.com/stratamq/stratamq/message"
)

func TestPlace(t *testing.T) {
	var s slabs
	for i := range uint32(5000) {
		s.append(message.Entry{Position: message.Position(i)})
	}
	for i := range uint32(5000) {
		e, err := message.DecodeEntry(s.bytes(i, 1))
		if err != nil || e.Position != message.Position(i) {
			t.Fatalf("entry %d is %+v, %v", i, e, err)
		}
	}
	for i, part := range s.parts {
		if want := min(firstSlab<<i, lastSlab) * entryLen; cap(part) < want || cap(part) > want+want/8+64 {
			t.Errorf("slab %d has room for %d bytes, want %d", i, cap(part), want)
		}
	}
}
