package message

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyMessage draws messages that Check accepts.
func anyMessage(t *rapid.T) Message {
	body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
	var properties []byte
	for _, text := range rapid.SliceOfN(rapid.StringMatching(`[^\x01\x02]{1,20}`), 0, 5).Draw(t, "properties") {
		var err error
		if properties, err = AppendProperty(properties, text, text); err != nil {
			t.Fatal(err)
		}
	}
	return Message{
		Topic:          rapid.StringN(1, 40, 200).Draw(t, "topic"),
		Queue:          Queue{Topic: 5, ID: QueueID(rapid.Int32Min(0).Draw(t, "queue"))},
		Offset:         Offset(rapid.Int64().Draw(t, "offset")),
		PhysicalOffset: rapid.Int64().Draw(t, "physical offset"),
		Body:           body,
		BodyCRC:        BodyCRC(body),
		Flag:           rapid.Int32().Draw(t, "flag"),
		SysFlag:        rapid.Int32().Draw(t, "sys flag"),
		BornTime:       rapid.Int64().Draw(t, "born time"),
		StoreTime:      rapid.Int64().Draw(t, "store time"),
		BornHost:       anyHost(t, "born host"),
		StoreHost:      anyHost(t, "store host"),
		ReconsumeTimes: rapid.Int32().Draw(t, "reconsume times"),
		PreparedOffset: rapid.Int64().Draw(t, "prepared offset"),
		Properties:     properties,
	}
}

// anyHost draws IPv4, IPv6 and IPv4 in IPv6's clothes, and now and then none.
func anyHost(t *rapid.T, label string) netip.AddrPort {
	size := rapid.SampledFrom([]int{0, 4, 4, 16}).Draw(t, label+" size")
	addr, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, label))
	if addr.Is4() && rapid.Bool().Draw(t, label+" mapped") {
		addr = netip.AddrFrom16(addr.As16())
	}
	return netip.AddrPortFrom(addr, rapid.Uint16().Draw(t, label+" port"))
}

// normal is what decoding gives for what was encoded: hosts in their shortest form, and the sys flag
// that fits them.
func normal(m Message) Message {
	m.SysFlag &^= SysFlagBornHostIPv6 | SysFlagStoreHostIPv6
	for _, h := range []struct {
		host *netip.AddrPort
		flag int32
	}{{&m.BornHost, SysFlagBornHostIPv6}, {&m.StoreHost, SysFlagStoreHostIPv6}} {
		addr := h.host.Addr().Unmap()
		switch {
		case !addr.IsValid():
			addr = netip.IPv4Unspecified()
		case addr.Is6():
			m.SysFlag |= h.flag
		}
		*h.host = netip.AddrPortFrom(addr, h.host.Port())
	}
	if m.Properties == nil {
		m.Properties = []byte{}
	}
	m.Queue.Topic = 0
	return m
}

func TestStoredRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		prefix := []byte("before")
		stored := m.AppendStored(prefix)[len(prefix):]
		if len(stored) != m.StoredLen() {
			t.Fatalf("%d bytes, StoredLen %d", len(stored), m.StoredLen())
		}
		got, err := DecodeStored(stored)
		if err != nil {
			t.Fatal(err)
		}
		if want := normal(m); !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded\n%+v, want\n%+v", got, want)
		}
		checkAccessors(t, stored, got)
	})
}

// checkAccessors compares reading field by field with decoding at once.
func checkAccessors(t interface{ Fatalf(string, ...any) }, stored []byte, m Message) {
	s := Stored(stored)
	got := []any{
		s.QueueID(), s.Offset(), s.PhysicalOffset(), s.SysFlag(), s.BornTime(), s.StoreTime(),
		string(s.Body()), string(s.Topic()), string(s.Properties()),
	}
	want := []any{
		m.Queue.ID, m.Offset, m.PhysicalOffset, m.SysFlag, m.BornTime, m.StoreTime,
		string(m.Body), m.Topic, string(m.Properties),
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("accessors\n%v, decoded\n%v", got, want)
	}
}

func TestPatchStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		stored := m.AppendStored(nil)
		m.Offset, m.PhysicalOffset, m.StoreTime = 11, 22, 33
		PatchStored(stored, 11, 22, 33)
		if want := m.AppendStored(nil); !bytes.Equal(stored, want) {
			t.Fatalf("patched\n%x, want\n%x", stored, want)
		}
	})
}

func TestDecodeStoredRefuses(t *testing.T) {
	src := golden(t)["stored V1 IPv4"]
	set := func(at int, b ...byte) func([]byte) []byte {
		return func(s []byte) []byte { copy(s[at:], b); return s }
	}
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"nothing", func([]byte) []byte { return nil }},
		{"total size too large", set(0, 0, 0, 0, 105)},
		{"bytes behind the end", func(s []byte) []byte { return append(s, 0) }},
		{"magic of no version", set(4, 1)},
		{"V2 for a short topic", set(7, 0xab)},
		{"store host longer than the rest", set(39, SysFlagStoreHostIPv6)},
		{"port above 65535", set(52, 0, 1, 0, 0)},
		{"body longer than the rest", set(84, 0, 0, 0, 16)},
		{"body of negative length", set(84, 0xff, 0xff, 0xff, 0xff)},
		{"topic longer than the rest", set(93, 9)},
		{"topic of negative length", set(93, 0x80)},
		{"no topic", set(93, 0)},
		{"topic that is no text", set(94, 0xff)},
		{"properties shorter than the rest", set(95, 0, 6)},
		{"properties longer than the rest", set(95, 0, 8)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if m, err := DecodeStored(c.damage(bytes.Clone(src))); !errors.Is(err, ErrCorrupt) {
				t.Errorf("decoded %+v, %v", m, err)
			}
		})
	}
	for n := range len(src) {
		if _, err := DecodeStored(src[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		m    Message
		ok   bool
	}{
		{"no topic", Message{}, false},
		{"short", Message{Topic: "T"}, true},
		{"longest topic", Message{Topic: strings.Repeat("t", 32767)}, true},
		{"topic too long", Message{Topic: strings.Repeat("t", 32768)}, false},
		{"topic that is no text", Message{Topic: "\xff"}, false},
		{"longest properties", Message{Topic: "T", Properties: make([]byte, 32767)}, true},
		{"properties too long", Message{Topic: "T", Properties: make([]byte, 32768)}, false},
		{"largest body", Message{Topic: "T", Body: make([]byte, MaxRecordLen-EnvelopeLen-92)}, true},
		{"body too large", Message{Topic: "T", Body: make([]byte, MaxRecordLen-EnvelopeLen-91)}, false},
		{"queue too high", Message{Topic: "T", Queue: Queue{ID: 1 << 31}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.m.Check()
			if c.ok != (err == nil) || (err != nil && !errors.Is(err, ErrInvalid)) {
				t.Fatal(err)
			}
			if !c.ok {
				return
			}
			if err := CheckStored(c.m.AppendStored(nil)); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzDecodeStored: whatever the bytes, they are a message that encodes to the same bytes, or corrupt.
func FuzzDecodeStored(f *testing.F) {
	for _, m := range goldenMessages() {
		f.Add(m.AppendStored(nil))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		m, err := DecodeStored(src)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v is not ErrCorrupt", err)
			}
			return
		}
		if err := CheckStored(src); err != nil {
			t.Fatal(err)
		}
		if again := m.AppendStored(nil); !bytes.Equal(again, src) {
			t.Fatalf("%x decodes to %+v, which encodes to %x", src, m, again)
		}
		checkAccessors(t, src, m)
		reused := Message{Topic: m.Topic, Body: []byte("old"), Properties: []byte("old")}
		if err := DecodeStoredInto(&reused, src); err != nil || !reflect.DeepEqual(reused, m) {
			t.Fatalf("into a used message: %+v, %v", reused, err)
		}
	})
}

// TestStoredAllocatesNothing holds the promise of the encoder and of decoding into a used message.
func TestStoredAllocatesNothing(t *testing.T) {
	m := goldenMessages()["stored V1 IPv4"]
	buf := make([]byte, 0, 1<<10)
	used := m
	if n := testing.AllocsPerRun(100, func() {
		buf = m.AppendRecord(buf[:0], RecordMessage)
		if err := DecodeStoredInto(&used, buf[EnvelopeLen:]); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func benchmarkMessage(size int) Message {
	body := bytes.Repeat([]byte("x"), size)
	properties, err := AppendProperty(nil, PropertyTag, "order-created")
	if err == nil {
		properties, err = AppendProperty(properties, PropertyMessageID, "01AABBCCDDEEFF00110000000000000001")
	}
	if err != nil {
		panic(err)
	}
	return Message{
		Topic: "orders", Queue: Queue{Topic: 1, ID: 3}, Body: body, BodyCRC: BodyCRC(body), Properties: properties,
		BornHost: netip.MustParseAddrPort("10.0.0.9:54321"), StoreHost: netip.MustParseAddrPort("10.0.0.5:8080"),
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			m := benchmarkMessage(size)
			buf := make([]byte, 0, m.RecordLen())
			b.SetBytes(int64(m.RecordLen()))
			b.ReportAllocs()
			for b.Loop() {
				buf = m.AppendRecord(buf[:0], RecordMessage)
			}
		})
	}
}

func BenchmarkPatchStored(b *testing.B) {
	m := benchmarkMessage(1 << 10)
	stored := m.AppendStored(nil)
	b.ReportAllocs()
	for b.Loop() {
		PatchStored(stored, 1, 2, 3)
	}
}

func BenchmarkDecodeStored(b *testing.B) {
	m := benchmarkMessage(1 << 10)
	stored := m.AppendStored(nil)
	b.SetBytes(int64(len(stored)))
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeStoredInto(&m, stored); err != nil {
			b.Fatal(err)
		}
	}
}
