package message

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecodeRecord: whatever the bytes, a record decodes to what encodes to the same bytes, or is corrupt.
func FuzzDecodeRecord(f *testing.F) {
	record := Record{Type: RecordMessage, Topic: 7, Body: []byte("body")}.AppendTo(nil)
	f.Add(record)
	f.Add(append(record, "the next one"...))
	f.Add(record[:len(record)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, src []byte) {
		r, n, err := DecodeRecord(src)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if again := r.AppendTo(nil); !bytes.Equal(again, src[:n]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", src[:n], r, again)
		}
	})
}

// FuzzDecodeEntry: 24 bytes are always an entry, and fewer never.
func FuzzDecodeEntry(f *testing.F) {
	f.Add(Entry{Position: 1 << 40, Size: 300, TagHash: TagHash("标签"), OrderKey: OrderKey("group")}.AppendTo(nil))
	f.Add(make([]byte, EntryLen-1))
	f.Fuzz(func(t *testing.T, src []byte) {
		e, err := DecodeEntry(src)
		if len(src) < EntryLen {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("an entry in %d bytes: error %v, want ErrCorrupt", len(src), err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if again := e.AppendTo(nil); !bytes.Equal(again, src[:EntryLen]) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", src[:EntryLen], e, again)
		}
	})
}
