package message

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// golden reads the sections of testdata/golden.txt: "== name", then lines of hex with a comment.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string][]byte{}
	name := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if next, ok := strings.CutPrefix(line, "== "); ok {
			name = next
			continue
		}
		b, err := hex.DecodeString(line)
		if err != nil {
			t.Fatal(err)
		}
		sections[name] = append(sections[name], b...)
	}
	return sections
}

// goldenMessages are what the sections of stored messages decode to.
func goldenMessages() map[string]Message {
	hello := []byte("hello")
	return map[string]Message{
		"stored V1 IPv4": {
			Topic: "T", Queue: Queue{ID: 3}, Offset: 42, PhysicalOffset: 12345,
			Body: hello, BodyCRC: 907060870,
			BornTime: 1700000000000, BornHost: netip.MustParseAddrPort("10.0.0.9:54321"),
			StoreTime: 1700000000123, StoreHost: netip.MustParseAddrPort("10.0.0.5:8080"),
			Properties: []byte("TAGS\x01A\x02"),
		},
		"stored V1 IPv6": {
			Topic: "订单", Offset: 1 << 40, PhysicalOffset: PhysicalOffset(7, 4096),
			Body: []byte{}, Flag: -2,
			SysFlag:  SysFlagCommit | SysFlagBornHostIPv6 | SysFlagStoreHostIPv6,
			BornTime: 1700000000000, BornHost: netip.MustParseAddrPort("[2001:db8::9]:1"),
			StoreTime: 1700000000123, StoreHost: netip.MustParseAddrPort("[::1]:65535"),
			ReconsumeTimes: 3, PreparedOffset: 9,
			Properties: []byte("KEYS\x01k1 k2\x02__SHARDINGKEY\x01g\x02"),
		},
		"stored V2": {
			Topic: strings.Repeat("t", 128), Queue: Queue{ID: 1<<31 - 1},
			Body: []byte{0}, BodyCRC: BodyCRC([]byte{0}), SysFlag: SysFlagPrepared,
			BornTime: 1, BornHost: netip.MustParseAddrPort("0.0.0.0:0"),
			StoreTime: 2, StoreHost: netip.MustParseAddrPort("10.0.0.5:8081"),
			Properties: []byte{},
		},
	}
}

func TestGoldenStored(t *testing.T) {
	sections := golden(t)
	for name, want := range goldenMessages() {
		t.Run(name, func(t *testing.T) {
			src := sections[name]
			got, err := DecodeStored(src)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("decoded\n%+v, want\n%+v", got, want)
			}
			if got := want.AppendStored(nil); !bytes.Equal(got, src) {
				t.Errorf("encoded\n%x, want\n%x", got, src)
			}
		})
	}
}

func TestGoldenRecords(t *testing.T) {
	sections := golden(t)
	m := goldenMessages()["stored V1 IPv4"]
	m.Queue.Topic = 0xa1
	if got, want := m.AppendRecord(nil, RecordMessage), sections["record of a message"]; !bytes.Equal(got, want) {
		t.Errorf("record of a message\n%x, want\n%x", got, want)
	}
	commit := Record{Type: RecordCommit, Body: []byte("abc")}
	if got, want := commit.AppendTo(nil), sections["record of a commit"]; !bytes.Equal(got, want) {
		t.Errorf("record of a commit\n%x, want\n%x", got, want)
	}
	got, n, err := DecodeRecord(append(sections["record of a commit"], "the next one"...))
	if err != nil || n != 19 || !reflect.DeepEqual(got, commit) {
		t.Errorf("decoded %+v, %d, %v", got, n, err)
	}
}

func TestGoldenEntry(t *testing.T) {
	src := golden(t)["entry"]
	e := Entry{Position: 12345, Size: 120, TagHash: TagHash("TagA"), OrderKey: 0x1122334455667788}
	if got := e.AppendTo(nil); !bytes.Equal(got, src) {
		t.Errorf("encoded %x, want %x", got, src)
	}
	if got, err := DecodeEntry(src); err != nil || got != e {
		t.Errorf("decoded %+v, %v", got, err)
	}
}

func TestGoldenMessageID(t *testing.T) {
	now := func() time.Time { return time.Unix(1700000000, 999999999) }
	ids := NewIDSource(now, rand.New(fixed(0x1112131415161718)))
	want := strings.ToUpper(hex.EncodeToString(golden(t)["message id"]))
	if got := ids.Next(); got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	if got := ids.Next(); got != want[:len(want)-1]+"1" {
		t.Errorf("second id %s after %s", got, want)
	}
}

// fixed is a source of randomness that always gives the same number.
type fixed uint64

func (f fixed) Uint64() uint64 { return uint64(f) }
