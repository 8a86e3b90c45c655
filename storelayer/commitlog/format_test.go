package commitlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/stratamq/stratamq/message"
)

// sampleFrame is a frame with every field different, as the committer makes it.
func sampleFrame() (frameHeader, []byte) {
	l := &Log{
		opts: Options{Shard: 0x0102}, epoch: 0x03040506, epochStart: 0x8000,
		tail:   chain{next: 0x2000_0000_9000, crc: 0xa1a2a3a4},
		active: segmentPlan{id: 0x1112131415161718, room: 0x3000_0000_0000},
	}
	f := newFrameBuf()
	f.buf = message.Record{Type: message.RecordMessage, Topic: 0x21, Body: []byte("hello")}.AppendTo(f.buf)
	f.buf = message.Record{Type: message.RecordSettle, Topic: 0x22, Body: []byte("x")}.AppendTo(f.buf)
	f.head.count, f.head.minTime, f.head.maxTime = 2, 0x19b7c2f3a00, 0x19b7c2f3a01
	l.seal(f)
	return f.head, f.buf
}

func sampleSegmentHeader() segmentHeader {
	return segmentHeader{
		shard: 0x0102, id: 0x1112131415161718, base: 0x2000_0000_8000, created: 0x19b7c2f3a00,
		prevCRC: 0xa1a2a3a4, length: 1 << 30,
	}
}

type field struct {
	name string
	n    int
}

// TestFormat keeps the formats as annotated hex: a change of a stored byte is a change of these files.
func TestFormat(t *testing.T) {
	datadriven.Walk(t, "testdata/format", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "frame":
				_, b := sampleFrame()
				return hexFields(b, []field{
					{"magic", 4},
					{"version", 2},
					{"shard", 2},
					{"length", 4},
					{"header crc", 4},
					{"segment id", 8},
					{"epoch", 4},
					{"count", 4},
					{"start of epoch", 8},
					{"position", 8},
					{"min store time", 8},
					{"max store time", 8},
					{"prev crc", 4},
					{"reserved", 4},
					{"committed-up-to", 8},
					{"record", 16},
					{"body", 5},
					{"record", 16},
					{"body", 1},
					{"crc32c", 4},
				})
			case "segment-header":
				h := sampleSegmentHeader()
				return hexFields(h.page(), []field{
					{"magic", 4},
					{"version", 2},
					{"shard", 2},
					{"segment id", 8},
					{"base", 8},
					{"created", 8},
					{"prev crc", 4},
					{"length", 8},
					{"crc32c", 4},
				})
			}
			t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
			return ""
		})
	})
}

func hexFields(b []byte, fields []field) string {
	var s strings.Builder
	at := 0
	for _, f := range fields {
		fmt.Fprintf(&s, "%4d  %-16s % x\n", at, f.name, b[at:at+f.n])
		at += f.n
	}
	zeros := len(b) - at
	for _, c := range b[at:] {
		if c != 0 {
			return s.String() + "and bytes that no field has"
		}
	}
	fmt.Fprintf(&s, "%4d  %d zeros\n", at, zeros)
	return s.String()
}

func TestFrameRoundTrip(t *testing.T) {
	want, b := sampleFrame()
	h, records, _, err := decodeFrame(b)
	if err != nil || h != want || len(records) != 38 {
		t.Fatalf("%+v, %d bytes of records, %v", h, len(records), err)
	}
	for i := range int(h.length) {
		b[i] ^= 1
		if _, _, _, err := decodeFrame(b); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("a flipped bit in byte %d: %v", i, err)
		}
		b[i] ^= 1
	}
	for n := range int(h.length) {
		if _, _, _, err := decodeFrame(b[:n]); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestSegmentHeaderRoundTrip(t *testing.T) {
	want := sampleSegmentHeader()
	b := want.page()
	h, err := decodeSegmentHeader(b)
	if err != nil || h != want {
		t.Fatalf("%+v, %v", h, err)
	}
	for i := range segmentHeaderLen {
		b[i] ^= 1
		if _, err := decodeSegmentHeader(b); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("a flipped bit in byte %d: %v", i, err)
		}
		b[i] ^= 1
	}
}

func FuzzDecodeFrame(f *testing.F) {
	_, b := sampleFrame()
	f.Add(b)
	f.Add(b[:200])
	f.Add(make([]byte, pageSize))
	f.Fuzz(func(t *testing.T, src []byte) {
		h, records, _, err := decodeFrame(src)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if len(records) > len(src) || h.end() <= h.position {
			t.Fatalf("%+v", h)
		}
		_ = frameOf(&h, records, 0, 0).All(func(message.Position, message.Record, int) error { return nil })
	})
}

func FuzzDecodeSegmentHeader(f *testing.F) {
	h := sampleSegmentHeader()
	f.Add(h.page()[:segmentHeaderLen])
	f.Fuzz(func(t *testing.T, src []byte) {
		h, err := decodeSegmentHeader(src)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		if again, err := decodeSegmentHeader(h.page()); err != nil || again != h {
			t.Fatalf("%+v, %+v, %v", h, again, err)
		}
	})
}

// FuzzRecover opens a good log with a patch somewhere: it is served, cut or refused, and never more
// than that. Whole segments as inputs would be too large for the fuzzer to work with.
func FuzzRecover(f *testing.F) {
	fsys, opts := memLog(1)
	opts.SegmentSize = MinSegmentSize
	name := "/log/" + segmentName(0)
	l := openRunning(f, opts)
	for i := range uint64(3) {
		if err := l.Append(f.Context(), &textBatch{texts: [][]byte{numbered(i, 3000)}}, AckDurable); err != nil {
			f.Fatal(err)
		}
	}
	l.stop()
	file, err := fsys.Open(name)
	if err != nil {
		f.Fatal(err)
	}
	header, body := make([]byte, pageSize), make([]byte, 5*pageSize)
	_, err = file.ReadAt(header, 0)
	_, bodyErr := file.ReadAt(body, pageSize)
	if err := errors.Join(err, bodyErr, file.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(0), []byte(nil))
	f.Add(uint16(pageSize), make([]byte, 8))
	f.Add(uint16(4*pageSize+8), []byte{1})
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		fsys, opts := memLog(2)
		opts.SegmentSize, opts.Create = MinSegmentSize, false
		src := slices.Clone(body)
		copy(src[min(int(at), len(src)):], patch)
		err := fsys.MkdirAll("/log")
		file, createErr := fsys.Create(name)
		if err := errors.Join(err, createErr); err != nil {
			t.Fatal(err)
		}
		_, err = file.WriteAt(header, 0)
		_, bodyErr := file.WriteAt(src, pageSize)
		if err := errors.Join(err, bodyErr, file.Truncate(MinSegmentSize)); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), opts)
		if err != nil {
			if _, ok := errors.AsType[*DamageError](err); !ok {
				t.Fatal(err)
			}
			return
		}
		defer func() { _ = l.Close() }()
		if err := l.Replay(t.Context(), 0, func(Frame) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
