package segment

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) string {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs:\n%s", path, got)
	}
	return string(want)
}

func goldenRows() []row {
	a, b := message.Queue{Topic: 0xa1, ID: 0}, message.Queue{Topic: 0xa1, ID: 3}
	return []row{
		newRow(a, 7, 1_700_000_000_000, []byte("first"), "k1"),
		newRow(a, 8, 1_700_000_000_001, []byte("second"), "k1", "k2"),
		newRow(a, 9, 1_700_000_000_500, []byte("a record that begins the next block"), "k1"),
		newRow(b, 0, 1_700_000_000_002, bytes.Repeat([]byte("zz"), 100), "k3"),
	}
}

// annotate prints every byte of an object with what it is.
func annotate(t *testing.T, object []byte, r *Reader) string {
	t.Helper()
	var out strings.Builder
	pos := 0
	take := func(n int, what string) {
		for first := true; n > 0 || first; first = false {
			k := min(n, 16)
			line := fmt.Sprintf("%06x  %-32s", pos, hex.EncodeToString(object[pos:pos+k]))
			if first {
				line += "  " + what
			}
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			pos, n = pos+k, n-k
		}
	}
	for b := range r.Directory().Blocks() {
		for _, field := range []struct {
			n    int
			what string
		}{
			{4, fmt.Sprintf("block %d: magic", b.Number)},
			{1, "version"},
			{1, "codec"},
			{2, "flags"},
			{4, "key id"},
			{4, "dictionary"},
			{8, "topic id"},
			{4, "queue"},
			{4, "count"},
			{8, "first offset"},
			{4, "stored length"},
			{4, "raw length"},
			{4, "crc32c"},
		} {
			take(field.n, field.what)
		}
		take(b.Length-BlockHeaderLen, "stored records")
	}
	for q := range r.Directory().Queues() {
		for i := range q.Count {
			take(message.EntryLen, fmt.Sprintf("column of %s: entry of offset %d", q.Queue, int(q.First)+i))
		}
		take(crcLen, "crc32c")
	}
	fences, err := r.Fences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fences {
		take(4, "posting page: magic, delta bits, block bits")
		take(4, "count")
		take(8, "first hash")
		take(4, "crc32c")
		take(int(f.Length)-postingHeaderLen, "postings")
	}
	for range fences {
		take(8, "fence: first hash")
		take(4, "position")
		take(4, "length")
	}
	take(8, "directory: magic, version, reserved")
	take(8, "queues, blocks")
	take(int(r.Trailer().Sections[SectionDirectory].Length)-16, "queues")
	for _, field := range []struct {
		n    int
		what string
	}{
		{8, "trailer: magic"},
		{4, "version, class, codec"},
		{4, "flags"},
		{4, "shard, reserved"},
		{4, "epoch"},
		{8, "log start"},
		{8, "log end"},
		{8, "min time"},
		{8, "max time"},
		{8, "records"},
		{4, "blocks"},
		{4, "queues"},
		{8, "postings"},
		{8, "raw bytes"},
	} {
		take(field.n, field.what)
	}
	for kind := range sectionSlots {
		take(16, fmt.Sprintf("%v: position, length", SectionKind(kind)))
		take(8, "crc32c, reserved")
	}
	take(TrailerLen-crcLen-88-sectionSlots*sectionLen, "reserved")
	take(crcLen, "crc32c")
	if pos != len(object) {
		t.Fatalf("annotated %d of %d bytes", pos, len(object))
	}
	return out.String()
}

// TestGolden pins the bytes of version 1: what is in testdata has to stay readable.
func TestGolden(t *testing.T) {
	for _, codec := range []Codec{CodecNone, CodecS2} { // the bytes of zstd follow its encoder
		object, _ := write(t, testConfig(codec, 64), goldenRows())
		r, _ := openBytes(t, object)
		text := golden(t, codec.String()+".hex", annotate(t, object, r))
		var stored []byte
		for line := range strings.Lines(text) {
			b, err := hex.DecodeString(strings.Fields(line)[1])
			if err != nil {
				t.Fatal(err)
			}
			stored = append(stored, b...)
		}
		r, _ = openBytes(t, stored)
		if err := r.Verify(t.Context()); err != nil {
			t.Errorf("the golden file of %v does not verify: %v", codec, err)
		}
	}
}

// TestGoldenZstd reads an object that an older encoder may have written.
func TestGoldenZstd(t *testing.T) {
	object, _ := write(t, testConfig(CodecZstd, 64), goldenRows())
	path := filepath.Join("testdata", "zstd.sealed")
	if *rewrite {
		if err := os.WriteFile(path, object, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := openBytes(t, stored)
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	b, _ := r.Directory().BlockAt(message.Queue{Topic: 0xa1, ID: 3}, 0)
	h, records, err := r.Block(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if h.Codec != CodecZstd || !bytes.Equal(records, goldenRows()[3].record) {
		t.Errorf("%v block has other records", h.Codec)
	}
}

func TestDump(t *testing.T) {
	object, _ := write(t, testConfig(CodecS2, 64), goldenRows())
	r, _ := openBytes(t, object)
	var all, short bytes.Buffer
	describe := func(r message.Record) string { return fmt.Sprintf("%.12q", r.Body) }
	if err := r.Dump(t.Context(), &all, DumpOptions{Blocks: true, Records: true, Keys: true, Describe: describe}); err != nil {
		t.Fatal(err)
	}
	golden(t, "dump.txt", all.String())
	if err := r.Dump(t.Context(), &short, DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "dump-short.txt", short.String())
	if err := r.Dump(t.Context(), &limitedWriter{left: 10}, DumpOptions{}); err == nil {
		t.Error("an error of the writer is lost")
	}
}
