package meta_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// golden returns the bytes of a file of annotated hexadecimal digits.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		for field := range strings.FieldsSeq(line) {
			digits.WriteString(field)
		}
	}
	out, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEnvelopeGolden(t *testing.T) {
	e := meta.Envelope{Writer: "node-1", Nonce: 0x1122334455667788, Data: []byte(`{"a":1}`)}
	file := golden(t, "envelope-v1.hex")
	if got := e.AppendTo([]byte("x"))[1:]; !bytes.Equal(got, file) {
		t.Errorf("encoded\n%x, file has\n%x", got, file)
	}
	got, err := meta.DecodeEnvelope(file)
	if err != nil || got.Writer != e.Writer || got.Nonce != e.Nonce || !bytes.Equal(got.Data, e.Data) {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func TestManifestHeadGolden(t *testing.T) {
	h := meta.ManifestHead{LeaderEpoch: 7, Sequence: 41}.WithEntry([]byte("entry"))
	file := golden(t, "manifest-head-v1.hex")
	if got := h.AppendTo(nil); !bytes.Equal(got, file) {
		t.Errorf("encoded\n%x, file has\n%x", got, file)
	}
	got, err := meta.DecodeManifestHead(file)
	if err != nil || got.LeaderEpoch != 7 || got.Sequence != 42 || got.Hash != h.Hash || string(got.Entry) != "entry" {
		t.Errorf("decoded %+v, %v", got, err)
	}
	first := meta.ManifestHead{}.WithEpoch(3)
	if got, err := meta.DecodeManifestHead(first.AppendTo(nil)); err != nil || got.LeaderEpoch != 3 || got.Sequence != 0 || got.Entry != nil {
		t.Errorf("without an entry: %+v, %v", got, err)
	}
}

// TestEveryBitCounts flips each bit of an encoded value and cuts it at each length.
func TestEveryBitCounts(t *testing.T) {
	envelope := meta.Envelope{Writer: "w", Nonce: 9, Data: []byte("data")}.AppendTo(nil)
	for i := range len(envelope) * 8 {
		bad := bytes.Clone(envelope)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := meta.DecodeEnvelope(bad); !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("envelope with bit %d flipped: %v", i, err)
		}
	}
	for n := range envelope {
		if _, err := meta.DecodeEnvelope(envelope[:n]); !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("envelope of %d bytes: %v", n, err)
		}
	}
	head := meta.ManifestHead{}.WithEntry([]byte("entry")).AppendTo(nil)
	for n := range head {
		if _, err := meta.DecodeManifestHead(head[:n]); !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("head of %d bytes: %v", n, err)
		}
	}
	head[len(head)-1] ^= 1
	if _, err := meta.DecodeManifestHead(head); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("head with another entry: %v", err)
	}
}

func FuzzDecodeEnvelope(f *testing.F) {
	f.Add(meta.Envelope{Writer: "w", Nonce: 1, Data: []byte("d")}.AppendTo(nil))
	f.Add([]byte("SRTM"))
	f.Fuzz(func(t *testing.T, src []byte) {
		e, err := meta.DecodeEnvelope(src)
		if err != nil {
			if !errors.Is(err, meta.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := e.AppendTo(nil); !bytes.Equal(again, src) {
			t.Fatalf("%x decodes and encodes to %x", src, again)
		}
	})
}

func FuzzDecodeManifestHead(f *testing.F) {
	f.Add(meta.ManifestHead{LeaderEpoch: 1}.WithEntry([]byte("entry")).AppendTo(nil))
	f.Add(meta.ManifestHead{}.AppendTo(nil))
	f.Fuzz(func(t *testing.T, src []byte) {
		h, err := meta.DecodeManifestHead(src)
		if err != nil {
			if !errors.Is(err, meta.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if again := h.AppendTo(nil); !bytes.Equal(again, src) {
			t.Fatalf("%x decodes and encodes to %x", src, again)
		}
	})
}

func FuzzUnescapeKey(f *testing.F) {
	for _, s := range []string{"%DLQ%g", "a|b", "", "=", "=25", "=2g", "主题", "a..b", "="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key := meta.EscapeKey(text)
		for _, c := range []byte(key) {
			if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/=", rune(c)) {
				t.Fatalf("%q escapes to %q", text, key)
			}
		}
		if back, err := meta.UnescapeKey(key); err != nil || back != text || key == "" {
			t.Fatalf("%q escapes to %q, and that to %q, %v", text, key, back, err)
		}
		// Read as an escaped key, a text is refused or is the one key of what it stands for.
		if plain, err := meta.UnescapeKey(text); err == nil && meta.EscapeKey(plain) != text {
			t.Fatalf("%q and %q both stand for %q", text, meta.EscapeKey(plain), plain)
		}
	})
}

func TestKeys(t *testing.T) {
	for got, want := range map[string]string{
		meta.ShardKey(7):                        "00007",
		meta.ConsumeQueueKey(7, 1<<30, 2):       "00007/00000000001073741824/0002",
		meta.IndexKey(message.ShardID(1), 0, 0): "00001/00000000000000000000/0000",
		meta.EscapeKey("%DLQ%g"):                "=25DLQ=25g",
		meta.EscapeKey("a.b"):                   "a=2Eb",
		meta.EscapeKey(""):                      "=",
	} {
		if got != want {
			t.Errorf("key %q, want %q", got, want)
		}
	}
}
