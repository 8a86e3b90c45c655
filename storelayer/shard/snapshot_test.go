package shard

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
)

func sampleSnapshot() *snapshot {
	return &snapshot{
		Shard: 3, Start: 4096, Highest: 12288, FrameEpoch: 7, FrameCRC: 0xdeadbeef,
		Table: []byte("queues"), Groups: [][]byte{[]byte("a"), []byte("bc")}, Deleted: []message.TopicID{5, 9},
	}
}

// golden reads a file of hexadecimal with comments behind #.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	raw, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSnapshotGolden(t *testing.T) {
	want := golden(t, "testdata/snapshot.hex")
	if got := sampleSnapshot().encode(); !bytes.Equal(got, want) {
		t.Errorf("encoded\n%x, the golden file has\n%x", got, want)
	}
	got, err := decodeSnapshot(want)
	if err != nil || !reflect.DeepEqual(got, sampleSnapshot()) {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func TestSnapshotRefusesDamage(t *testing.T) {
	raw := sampleSnapshot().encode()
	for i := range raw {
		for _, bit := range []byte{1, 0x80} {
			raw[i] ^= bit
			if _, err := decodeSnapshot(raw); !errors.Is(err, message.ErrCorrupt) {
				t.Errorf("byte %d changed: %v", i, err)
			}
			raw[i] ^= bit
		}
		if _, err := decodeSnapshot(raw[:i]); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	f.Add(sampleSnapshot().encode())
	f.Add((&snapshot{}).encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		snap, err := decodeSnapshot(raw)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Errorf("%v is not ErrCorrupt", err)
			}
			return
		}
		again, err := decodeSnapshot(snap.encode())
		if err != nil || !reflect.DeepEqual(again, snap) {
			t.Errorf("%+v comes back as %+v, %v", snap, again, err)
		}
	})
}
