package message

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func TestIDsSortAsText(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{TopicID(0xa1).String(), "00000000000000a1"},
		{Position(4096).String(), "00000000000000004096"},
		{Position(1<<64 - 1).String(), "18446744073709551615"},
		{ShardID(7).String(), "00007"},
		{ShardID(65535).String(), "65535"},
		{Epoch(3).String(), "0000000003"},
		{Epoch(1<<32 - 1).String(), "4294967295"},
		{SegmentID(255).String(), "00000000000000ff"},
		{Queue{Topic: 0xa1, ID: 3}.String(), "00000000000000a1/3"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

func TestPhysicalOffset(t *testing.T) {
	for _, c := range []struct {
		shard    ShardID
		position Position
		want     int64
	}{
		{0, 0, 0},
		{0, 12345, 12345},
		{1, 0, 1 << 47},
		{7, 4096, 7<<47 | 4096},
		{1, 1<<47 + 5, 1<<47 | 5}, // the position's upper bits are lost
		{65535, 1<<47 - 1, 1<<63 - 1},
	} {
		if got := PhysicalOffset(c.shard, c.position); got != c.want {
			t.Errorf("shard %d, position %d: %#x, want %#x", c.shard, c.position, got, c.want)
		}
	}
}

// TestTagHash compares with what Java's String.hashCode gives.
func TestTagHash(t *testing.T) {
	for tag, want := range map[string]int32{
		"": 0, "TagA": 2598919, "TagB": 2598920, "订单": 1129459, "order-created-event": 228478774,
		"😀": 31*0xd83d + 0xde00, // two UTF-16 units
	} {
		if got := TagHash(tag); got != uint32(want) {
			t.Errorf("%q: %d, want %d", tag, got, want)
		}
	}
}

func TestOrderKeyAndIndexKey(t *testing.T) {
	if OrderKey("") != 0 {
		t.Error("a message without a message group has an order key")
	}
	// xxhash64 of "abc" with seed 0, from the algorithm's own test vectors.
	if got := OrderKey("abc"); got != 0x44bc2cf5ad770999 {
		t.Errorf("order key %#x", got)
	}
	keys := map[uint64]string{}
	for name, key := range map[string]uint64{
		"key":          IndexKey(1, IndexByKey, "a"),
		"id":           IndexKey(1, IndexByID, "a"),
		"other topic":  IndexKey(2, IndexByKey, "a"),
		"another text": IndexKey(1, IndexByKey, "b"),
	} {
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s share the key %#x", name, other, key)
		}
		keys[key] = name
	}
	// The bytes hashed are part of the format: topic id little-endian, kind, text.
	if got, want := IndexKey(0x6867666564636261, IndexByKey, "!"), OrderKey("abcdefghk!"); got != want {
		t.Errorf("index key %#x, want %#x", got, want)
	}
}

func TestRecordTypes(t *testing.T) {
	for typ, want := range map[RecordType]string{
		RecordInvalid: "invalid", RecordMessage: "message", RecordCommit: "commit", RecordTransaction: "transaction",
		RecordShardClosing: "shard-closing", recordTypeEnd: "record-type-17",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d is %s, want %s", typ, got, want)
		}
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	good := Record{Type: RecordMessage, Topic: 1, Body: []byte("abc")}.AppendTo(nil)
	for name, damage := range map[string]func(s []byte) []byte{
		"half an envelope":     func(s []byte) []byte { return s[:EnvelopeLen-1] },
		"cut body":             func(s []byte) []byte { return s[:len(s)-1] },
		"type 0":               func(s []byte) []byte { s[0] = 0; return s },
		"type unknown":         func(s []byte) []byte { s[0] = byte(recordTypeEnd); return s },
		"reserved byte":        func(s []byte) []byte { s[3] = 1; return s },
		"shorter than itself":  func(s []byte) []byte { s[4] = EnvelopeLen - 1; return s },
		"longer than anything": func(s []byte) []byte { s[7] = 0xff; return s },
	} {
		if r, n, err := DecodeRecord(damage(append([]byte(nil), good...))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %+v, %d, %v", name, r, n, err)
		}
	}
}

// TestIDSourceIsUnique takes ids from several goroutines within one second.
func TestIDSourceIsUnique(t *testing.T) {
	now := func() time.Time { return time.Unix(1700000000, 0) }
	ids := NewIDSource(now, rand.New(rand.NewPCG(1, 2)))
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 250 {
				id := ids.Next()
				mu.Lock()
				seen[id] = true
				mu.Unlock()
				if len(id) != 34 {
					t.Errorf("id %q", id)
				}
			}
		})
	}
	wg.Wait()
	if len(seen) != 1000 {
		t.Errorf("%d ids of 1000", len(seen))
	}
}
