package message

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// pairs collects the properties of a joined text.
func pairs(joined []byte) [][2]string {
	var all [][2]string
	for k, v := range EachProperty(joined) {
		all = append(all, [2]string{string(k), string(v)})
	}
	return all
}

// TestAppendProperty joins any texts: what is refused leaves no trace, what is taken comes back as
// exactly that one property.
func TestAppendProperty(t *testing.T) {
	text := rapid.StringOf(rapid.SampledFrom([]rune("ab\x00\x01\x02\x03 订")))
	rapid.Check(t, func(t *rapid.T) {
		var joined []byte
		var want [][2]string
		for range rapid.IntRange(0, 6).Draw(t, "count") {
			key, value := text.Draw(t, "key"), text.Draw(t, "value")
			next, err := AppendProperty(joined, key, []byte(value))
			bad := key == "" || bytes.ContainsAny([]byte(key+value), "\x01\x02")
			switch {
			case bad && (!errors.Is(err, ErrInvalid) || !bytes.Equal(next, joined)):
				t.Fatalf("%q=%q: %q, %v", key, value, next, err)
			case !bad && err != nil:
				t.Fatal(err)
			case !bad:
				want = append(want, [2]string{key, value})
			}
			joined = next
		}
		if got := pairs(joined); !slices.Equal(got, want) {
			t.Fatalf("joined %q: %q, want %q", joined, got, want)
		}
		if err := CheckProperties(joined); err != nil {
			t.Fatal(err)
		}
		for _, p := range want {
			last := want[0][1]
			for _, q := range want {
				if q[0] == p[0] {
					last = q[1]
				}
			}
			if got, ok := Property(joined, p[0]); !ok || string(got) != last {
				t.Fatalf("property %q is %q, %v, want %q", p[0], got, ok, last)
			}
		}
	})
}

func TestForeignProperties(t *testing.T) {
	for _, c := range []struct {
		joined string
		ok     bool
		want   [][2]string
	}{
		{"", true, nil},
		{"a\x011\x02b\x012", true, [][2]string{{"a", "1"}, {"b", "2"}}}, // no last end mark
		{"a\x01\x02", true, [][2]string{{"a", ""}}},
		{"a\x02b\x012\x02", false, [][2]string{{"b", "2"}}},
		{"\x011\x02b\x012\x02", false, [][2]string{{"b", "2"}}},
		{"\x02\x02b\x012\x02", false, [][2]string{{"b", "2"}}},
		{"a\x011\x012\x02", false, [][2]string{{"a", "1\x012"}}},
	} {
		if err := CheckProperties([]byte(c.joined)); c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrInvalid)) {
			t.Errorf("%q: %v", c.joined, err)
		}
		if got := pairs([]byte(c.joined)); !slices.Equal(got, c.want) {
			t.Errorf("%q has %q, want %q", c.joined, got, c.want)
		}
	}
	for range EachProperty([]byte("a\x011\x02b\x012\x02")) {
		break // a consumer that stops early
	}
	if got, ok := Property([]byte("a\x011\x02"), "b"); ok {
		t.Errorf("property b is %q", got)
	}
}

func TestIsReservedProperty(t *testing.T) {
	for name, want := range map[string]bool{
		"TAGS": true, "KEYS": true, "UNIQ_KEY": true, "__SHARDINGKEY": true, "__CRC32#": true, "TIMER_DELIVER_MS": true,
		"tags": false, "color": false, "": false,
	} {
		if got := IsReservedProperty(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// FuzzProperties: what CheckProperties accepts is the same text once its properties are joined
// again, but for the last end mark; nothing else panics.
func FuzzProperties(f *testing.F) {
	f.Add([]byte("TAGS\x01A\x02KEYS\x01k1 k2\x02"))
	f.Add([]byte("a\x011\x02b\x012"))
	f.Add([]byte("a\x011\x012\x02\x02"))
	f.Fuzz(func(t *testing.T, joined []byte) {
		wellFormed := CheckProperties(joined) == nil
		var again []byte
		for k, v := range EachProperty(joined) {
			if got, ok := Property(joined, string(k)); !ok || got == nil {
				t.Fatalf("%q has %q, and Property does not find it", joined, k)
			}
			var err error
			if again, err = AppendProperty(again, k, v); err != nil && wellFormed {
				t.Fatal(err)
			}
		}
		if wellFormed && !bytes.Equal(bytes.TrimSuffix(again, []byte{propertyEndMark}), bytes.TrimSuffix(joined, []byte{propertyEndMark})) {
			t.Fatalf("%q joined again is %q", joined, again)
		}
	})
}

func BenchmarkAppendProperty(b *testing.B) {
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = AppendProperty(buf[:0], PropertyMessageID, "01AABBCCDDEEFF00110000000000000001"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProperty(b *testing.B) {
	m := benchmarkMessage(0)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Property(m.Properties, PropertyMessageID); !ok {
			b.Fatal("not found")
		}
	}
}
