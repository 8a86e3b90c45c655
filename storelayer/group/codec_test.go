package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// record is what every record type of this package can do.
type record interface{ AppendTo(dst []byte) []byte }

type sample struct {
	name   string
	typ    message.RecordType
	value  record
	decode func(message.Record) (record, error)
}

func decoder[R record](decode func(message.Record) (R, error)) func(message.Record) (record, error) {
	return func(rec message.Record) (record, error) {
		r, err := decode(rec)
		return r, err
	}
}

const testTopic = message.TopicID(0xa1)

func samples() []sample {
	key := Key{Name: "orders", Generation: 7}
	q := message.Queue{Topic: testTopic, ID: 3}
	return []sample{
		{"lease", message.RecordLease, LeaseRecord{
			Key: key, Queue: q, Epoch: 2, Lease: 9, Deadline: 1_700_000_000_000, Auto: true, Client: "c@1",
			Runs: []LeaseRun{{First: 40, Count: 1, Attempt: 3}, {First: 100, Count: 31, Attempt: 1}},
		}, decoder(DecodeLease)},
		{"lease-ordered", message.RecordLease, LeaseRecord{
			Key: key, Queue: q, Epoch: 2, Lease: 10, Deadline: 1_700_000_000_000,
			Runs: []LeaseRun{{First: 40, Count: 2, Attempt: 1, OrderKey: 0x1122334455667788}},
		}, decoder(DecodeLease)},
		{"settle", message.RecordSettle, SettleRecord{
			Key: key, Queue: q, Reason: Acked, Runs: []Run{{First: 5, End: 6}, {First: 8, End: 40}},
		}, decoder(DecodeSettle)},
		{"visibility", message.RecordVisibility, VisibilityRecord{Key: key, Queue: q, Items: []VisibilityItem{
			{Offset: 5, Epoch: 2, Lease: 9, Deadline: 1_700_000_000_000, Attempt: 1},
			{Offset: 6, Epoch: 2, Lease: 9, Deadline: 1_700_000_010_000, Attempt: 2, Uncounted: true},
		}}, decoder(DecodeVisibility)},
		{"commit", message.RecordCommit, CommitRecord{
			Key: key, Queue: q, Kind: CommitReset, Offset: 77, Epoch: 2, Lease: 11,
		}, decoder(DecodeCommit)},
		{"dead-letter", message.RecordDeadLetter, DeadLetterRecord{
			Key: key, Queue: q, Offset: 5, Dead: message.Queue{Topic: 0xdead, ID: 1},
		}, decoder(DecodeDeadLetter)},
		{"group-create", message.RecordGroupCreate, LifeRecord{Key: key}, decoder(DecodeGroup)},
		{"epoch-start", message.RecordEpochStart, EpochStartRecord{Epoch: 3, LastEpoch: 2, LastLease: 11}, decoder(DecodeEpochStart)},
		{"topic-delete", message.RecordTopicDelete, TopicDeleteRecord{}, decoder(DecodeTopicDelete)},
	}
}

// golden compares bytes with a file of hexadecimal digits, in which a # begins a comment.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(annotated(name, got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	want, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s encodes to\n%x\nthe golden file has\n%x", name, got, want)
	}
}

func annotated(name string, b []byte) string {
	var out strings.Builder
	out.WriteString("# " + name + ", little-endian; the layout is drawn above its codec\n")
	for i := 0; i < len(b); i += 16 {
		row := b[i:min(i+16, len(b))]
		text := strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' || r == '#' {
				return '.'
			}
			return r
		}, string(bytes.Map(func(r rune) rune { return r & 0x7f }, row)))
		out.WriteString(strings.TrimRight(hex.EncodeToString(row), " ") + "  # " + text + "\n")
	}
	return out.String()
}

func TestRecords(t *testing.T) {
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			body := s.value.AppendTo(nil)
			golden(t, s.name, body)
			rec := message.Record{Type: s.typ, Topic: testTopic, Body: body}
			got, err := s.decode(rec)
			if err != nil || !reflect.DeepEqual(got, s.value) {
				t.Errorf("decoded %+v, %v, want %+v", got, err, s.value)
			}
			for n := range body {
				rec.Body = body[:n]
				if _, err := s.decode(rec); !errors.Is(err, message.ErrCorrupt) {
					t.Errorf("%d of %d bytes: %v", n, len(body), err)
				}
			}
			rec.Body = append(bytes.Clone(body), 0)
			if _, err := s.decode(rec); !errors.Is(err, message.ErrCorrupt) {
				t.Errorf("a byte too many: %v", err)
			}
			rec.Body = bytes.Clone(body)
			rec.Body[0] = recordVersion + 1
			if _, err := s.decode(rec); !errors.Is(err, message.ErrCorrupt) {
				t.Errorf("unknown version: %v", err)
			}
			if s.typ == message.RecordEpochStart || s.typ == message.RecordTopicDelete {
				return
			}
			rec.Body = body
			if name, generation, err := Header(rec); string(name) != "orders" || generation != 7 || err != nil {
				t.Errorf("header %q, %d, %v", name, generation, err)
			}
		})
	}
}

func fuzzRecord[R record](f *testing.F, typ message.RecordType, decode func(message.Record) (R, error)) {
	for _, s := range samples() {
		if s.typ == typ {
			f.Add(s.value.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rec := message.Record{Type: typ, Topic: testTopic, Body: body}
		r, err := decode(rec)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, err := decode(message.Record{Type: typ, Topic: testTopic, Body: r.AppendTo(nil)})
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzDecodeLease(f *testing.F)      { fuzzRecord(f, message.RecordLease, DecodeLease) }
func FuzzDecodeSettle(f *testing.F)     { fuzzRecord(f, message.RecordSettle, DecodeSettle) }
func FuzzDecodeVisibility(f *testing.F) { fuzzRecord(f, message.RecordVisibility, DecodeVisibility) }
func FuzzDecodeCommit(f *testing.F)     { fuzzRecord(f, message.RecordCommit, DecodeCommit) }
func FuzzDecodeDeadLetter(f *testing.F) { fuzzRecord(f, message.RecordDeadLetter, DecodeDeadLetter) }
func FuzzDecodeGroup(f *testing.F)      { fuzzRecord(f, message.RecordGroupCreate, DecodeGroup) }
func FuzzDecodeEpochStart(f *testing.F) { fuzzRecord(f, message.RecordEpochStart, DecodeEpochStart) }

func FuzzDecodeTopicDelete(f *testing.F) {
	fuzzRecord(f, message.RecordTopicDelete, DecodeTopicDelete)
}

func FuzzHeader(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.value.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		name, _, err := Header(message.Record{Type: message.RecordLease, Body: body})
		if err != nil && !errors.Is(err, message.ErrCorrupt) || err == nil && !bytes.Contains(body, name) {
			t.Fatalf("name %q, %v", name, err)
		}
	})
}

func snapshotSample(t testing.TB) *Group {
	t.Helper()
	g := New(testKey)
	q := message.Queue{Topic: testTopic, ID: 3}
	for i, r := range []struct {
		typ message.RecordType
		rec record
	}{
		{message.RecordCommit, CommitRecord{Key: testKey, Queue: q, Kind: CommitInit, Offset: 10}},
		{message.RecordLease, LeaseRecord{
			Key: testKey, Queue: q, Epoch: 1, Lease: 4, Deadline: 5000, Auto: true, Client: "c1",
			Runs: []LeaseRun{{First: 10, Count: 6, Attempt: 1}},
		}},
		{message.RecordSettle, SettleRecord{Key: testKey, Queue: q, Reason: Acked, Runs: []Run{{First: 10, End: 11}, {First: 13, End: 15}}}},
		{message.RecordVisibility, VisibilityRecord{Key: testKey, Queue: q, Items: []VisibilityItem{
			{Offset: 12, Epoch: 1, Lease: 4, Deadline: 2000, Attempt: 1, Uncounted: true},
		}}},
	} {
		rec := message.Record{Type: r.typ, Topic: testTopic, Body: r.rec.AppendTo(nil)}
		if err := g.Apply(rec, message.Position(4096+100*i)); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func TestSnapshot(t *testing.T) {
	g := snapshotSample(t)
	b := g.AppendSnapshot(nil)
	golden(t, "snapshot", b)
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1
		if _, _, err := DecodeSnapshot(damaged); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, _, err := DecodeSnapshot(b[:i]); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", i, len(b), err)
		}
	}
	const want = `group "orders" generation 7
queue 00000000000000a1/3 current=4397 started=true floor=11 next=16 forgotten=0 barrier=0/0
  mark 1/4
  settled [13, 15)
  delivery 11 lease=1/4 attempt=1 deadline=5000 auto=true uncounted=false client="c1"
  delivery 12 lease=1/4 attempt=1 deadline=2000 auto=false uncounted=true client="c1"
  delivery 15 lease=1/4 attempt=1 deadline=5000 auto=true uncounted=false client="c1"
`
	if got := dump(t, g); got != want {
		t.Errorf("dump:\n%s\nwant:\n%s", got, want)
	}
}

// FuzzDecodeSnapshot gives the decoder bodies whose checksum is right.
func FuzzDecodeSnapshot(f *testing.F) {
	b := snapshotSample(f).AppendSnapshot(nil)
	f.Add(b[:len(b)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		g, rest, err := DecodeSnapshot(sealSnapshot(body))
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		again, _, err := DecodeSnapshot(g.AppendSnapshot(nil))
		if err != nil || len(rest) != 0 || dump(t, again) != dump(t, g) {
			t.Fatalf("%v, rest %d bytes:\n%s\nwant\n%s", err, len(rest), dump(t, again), dump(t, g))
		}
		m := Moment{Now: 1, Epoch: 1}
		for _, q := range g.Queues() {
			g.Lease(m, &LeaseInput{Queue: q, Next: 100, Max: 10, MaxAttempts: 16, Lease: 1})
		}
	})
}
