package queue

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
)

var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

// golden compares bytes with a file of hexadecimal digits, in which a # begins a comment. A run of zero rows is
// written as "*" and the number of rows.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	var out strings.Builder
	out.WriteString("# " + name + ", little-endian; the layout is drawn above its codec. A row that repeats is left out (*).\n")
	last := ""
	for i := 0; i < len(got); i += 16 {
		row := hex.EncodeToString(got[i:min(i+16, len(got))])
		if row != last {
			out.WriteString(row + "\n")
		} else if !strings.HasSuffix(out.String(), "*\n") {
			out.WriteString("*\n")
		}
		last = row
	}
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s encodes to\n%s\nthe golden file has\n%s", name, out.String(), want)
	}
}

func sampleBuilder(t testing.TB) *Builder {
	t.Helper()
	b := NewBuilder(testBase)
	for i, q := range []message.Queue{{Topic: 0xa2, ID: 1}, {Topic: 0xa1, ID: 3}, {Topic: 0xa2, ID: 1}, {Topic: 0xa1}} {
		e := message.Entry{Position: testBase + message.Position(4096*i+64), Size: 300, TagHash: uint32(i), OrderKey: 0x1122334455667788}
		offset := message.Offset(10)
		if i == 2 {
			offset = 11
		}
		if err := b.Add(q, offset, e, []uint64{7 << 60, uint64(i) << 56}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func sampleFile(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := sampleBuilder(t).WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSegmentFile(t *testing.T) {
	b := sampleFile(t)
	golden(t, "segment", b)
	f, err := OpenSegmentFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.lookup(nil, 7<<60, 3)
	want := []message.Position{testBase + 3*4096 + 64, testBase + 2*4096 + 64, testBase + 4096 + 64}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("lookup %v, %v, want %v", got, err, want)
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1
		if _, err := OpenSegmentFile(bytes.NewReader(damaged), int64(len(b))); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	for _, n := range []int{0, 1, fileHeadLen, len(b) / 2, len(b) - 1} {
		if _, err := OpenSegmentFile(bytes.NewReader(b[:n]), int64(n)); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
		if _, err := OpenSegmentFile(bytes.NewReader(b[:n]), int64(len(b))); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("%d of %d bytes, said to be all: %v", n, len(b), err)
		}
	}
}

var errDisk = errors.New("injected")

// brokenDisk fails every read and write from a number on.
type brokenDisk struct {
	r     *bytes.Reader
	after int
}

func (d *brokenDisk) ReadAt(b []byte, at int64) (int, error) {
	if d.after--; d.after < 0 {
		return 0, errDisk
	}
	return d.r.ReadAt(b, at)
}

func (d *brokenDisk) Write(b []byte) (int, error) {
	if d.after--; d.after < 0 {
		return 0, errDisk
	}
	return len(b), nil
}

// TestBrokenDisk: an error of the disk is told as such, from every call, and is not corruption.
func TestBrokenDisk(t *testing.T) {
	b := sampleFile(t)
	reads := 0
	for ; ; reads++ {
		_, err := OpenSegmentFile(&brokenDisk{r: bytes.NewReader(b), after: reads}, int64(len(b)))
		if err == nil {
			break
		}
		if !errors.Is(err, errDisk) || errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("open with %d good reads: %v", reads, err)
		}
	}
	if _, err := sampleBuilder(t).WriteTo(&brokenDisk{}); !errors.Is(err, errDisk) {
		t.Errorf("write: %v", err)
	}
	disk := &brokenDisk{r: bytes.NewReader(b), after: reads + 1} // and one read of the directory
	f, err := OpenSegmentFile(disk, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	table := NewTable(testBase)
	if err := table.Attach(f); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Entry(message.Queue{Topic: 0xa1, ID: 3}, 10); !errors.Is(err, errDisk) {
		t.Errorf("entry: %v", err)
	}
	if _, err := table.Lookup(nil, 7<<60, 3); !errors.Is(err, errDisk) {
		t.Errorf("lookup: %v", err)
	}
}

func TestAttachRefuses(t *testing.T) {
	b := sampleFile(t)
	open := func() *SegmentFile {
		f, err := OpenSegmentFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	table := NewTable(testBase + 4096)
	if err := table.Attach(open()); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("file of another segment: %v", err)
	}
	table = NewTable(testBase)
	if err := table.Append(message.Queue{Topic: 0xa1, ID: 3}, 0, message.Entry{Position: testBase}, 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := table.Attach(open()); err == nil {
		t.Error("file of the active segment")
	}
	if err := table.Roll(testBase + 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := table.Attach(open()); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("file with other offsets: %v", err)
	}
	table = NewTable(testBase)
	table.Restore(State{Queue: message.Queue{Topic: 0xa2, ID: 1}, Next: 5, Current: 1})
	if err := table.Attach(open()); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("file that leaves a hole: %v", err)
	}
}

// FuzzOpenSegmentFile gives the reader files whose checksum is right, and reads what it accepts.
func FuzzOpenSegmentFile(f *testing.F) {
	b := sampleFile(f)
	f.Add(b[:len(b)-crcLen])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, castagnoli))
		file, err := OpenSegmentFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		table := NewTable(file.Base())
		if err := table.Attach(file); err != nil {
			t.Fatalf("attach to an empty table: %v", err)
		}
		dump(t, table)
		for bucket := range buckets {
			if _, err := table.Lookup(nil, uint64(bucket)<<(64-bucketBits), 10); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func sampleTable(t testing.TB) *Table {
	t.Helper()
	table := NewTable(testBase)
	for i := range 3 {
		e := message.Entry{Position: testBase + message.Position(4096*i), Size: 300}
		if err := table.Append(message.Queue{Topic: 0xa1, ID: 3}, message.Offset(i), e, 1_700_000_000_000, nil); err != nil {
			t.Fatal(err)
		}
	}
	table.SetFirst(message.Queue{Topic: 0xa1, ID: 3}, 2)
	table.Restore(State{Queue: message.Queue{Topic: 0xa2}, First: 7, Next: 9, LastStoreTime: 5, Current: 44})
	table.DropTopic(0xa3, testBase+9000)
	return table
}

func TestSnapshot(t *testing.T) {
	table := sampleTable(t)
	b := table.AppendSnapshot([]byte("head"))[4:]
	golden(t, "snapshot", b)
	again, rest, err := DecodeSnapshot(append(bytes.Clone(b), "tail"...), testBase)
	if err != nil || string(rest) != "tail" {
		t.Fatalf("rest %q, %v", rest, err)
	}
	if got := again.AppendSnapshot(nil); !bytes.Equal(got, b) {
		t.Errorf("snapshot of a snapshot:\n%x\nwant\n%x", got, b)
	}
	for i := range b {
		damaged := bytes.Clone(b)
		damaged[i] ^= 1
		if _, _, err := DecodeSnapshot(damaged, testBase); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if _, _, err := DecodeSnapshot(b[:i], testBase); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v", i, len(b), err)
		}
	}
	if err := again.Append(message.Queue{Topic: 0xa3}, 4, message.Entry{Position: testBase + 100}, 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Queue(message.Queue{Topic: 0xa3}); ok {
		t.Error("replay brought back a topic that was deleted")
	}
}

// FuzzDecodeSnapshot gives the decoder snapshots whose length and checksum are right.
func FuzzDecodeSnapshot(f *testing.F) {
	b := sampleTable(f).AppendSnapshot(nil)
	f.Add(b[:len(b)-crcLen])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := bytes.Clone(body)
		if len(b) >= snapshotHeadLen {
			binary.LittleEndian.PutUint64(b[8:], uint64(len(b)+crcLen))
		}
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		table, rest, err := DecodeSnapshot(b, testBase)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
			return
		}
		if got := table.AppendSnapshot(nil); !bytes.Equal(got, b) || len(rest) != 0 {
			t.Fatalf("%x became %x, rest %d", b, got, len(rest))
		}
	})
}
