package manifest

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/segment"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// field is a part of a format, in bytes.
type field struct {
	n    int
	what string
}

// golden compares raw with a file of annotated hex, whose bytes must be all of raw.
func golden(t *testing.T, name string, raw []byte, fields []field) {
	t.Helper()
	var out strings.Builder
	at := 0
	for _, f := range fields {
		for first, n := true, f.n; n > 0; first = false {
			k := min(n, 16)
			line := fmt.Sprintf("%04x  %-32s", at, hex.EncodeToString(raw[at:at+k]))
			if first {
				line += "  " + f.what
			}
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			at, n = at+k, n-k
		}
	}
	if at != len(raw) {
		t.Errorf("%s: %d of %d bytes are annotated", name, at, len(raw))
	}
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s differs:\n%s", path, out.String())
	}
}

func TestGoldenEntry(t *testing.T) {
	e := testEntry()
	fields := []field{
		{8, "magic"},
		{2, "version"},
		{2, "reserved"},
		{2, "shard"},
		{2, "reserved"},
		{8, "sequence"},
		{4, "epoch"},
		{4, "name length"},
		{8, "created"},
		{8, "base"},
		{8, "end"},
		{32, "previous hash"},
		{4, "objects"},
		{4, "deletions"},
		{4, "first offsets"},
		{2, "cluster"},
		{16, "snapshot: uuid"},
		{8, "size"},
		{4, "crc32c"},
		{4, "reserved"},
		{8, "replay start"},
	}
	for i := range e.Objects {
		fields = append(fields, []field{
			{16, fmt.Sprintf("object %d: uuid", i)},
			{1, "class"},
			{7, "reserved"},
			{8, "size"},
			{4, "crc32c"},
			{4, "reserved"},
			{8, "directory"},
			{8, "records"},
			{8, "min time"},
			{8, "max time"},
			{8, "raw bytes"},
		}...)
	}
	for i, key := range e.Deletions {
		fields = append(fields, field{2, fmt.Sprintf("deletion %d: length", i)}, field{len(key), "key"})
	}
	for i := range e.FirstOffsets {
		fields = append(fields, field{8, fmt.Sprintf("first offset %d: topic id", i)}, field{4, "queue"}, field{4, "reserved"}, field{8, "offset"})
	}
	golden(t, "entry.hex", e.AppendTo(nil), append(fields, field{4, "crc32c"}))
}

var headerFields = []field{
	{4, "magic"}, {1, "version"}, {1, "kind"}, {2, "part"}, {2, "parts"}, {2, "shard"}, {4, "count"}, {8, "sequence"}, {8, "base"}, {8, "time"},
}

func TestGoldenQueueValue(t *testing.T) {
	runs := []Run{
		{Queue: message.Queue{Topic: 0xa1, ID: 3}, First: 1000, Count: 70, MinTime: 1_700_000_000_100, MaxTime: 1_700_000_000_400, Bytes: 40_000, Block: 2},
		{Queue: message.Queue{Topic: 0xa1, ID: 5}, First: 7, Count: 1, MinTime: 1_700_000_000_000, MaxTime: 1_700_000_000_000, Bytes: 300, Block: 3},
		{Queue: message.Queue{Topic: 0xa2, ID: 0}, Count: 9, MinTime: 1_700_000_000_050, MaxTime: 1_700_000_000_060, Bytes: 100, Object: 1},
	}
	parts, err := EncodeRuns(testHeader, runs)
	if err != nil || len(parts) != 1 {
		t.Fatal(len(parts), err)
	}
	names := func(widths ...int) []field {
		var fields []field
		for i, what := range []string{"run: topic id", "queue", "first offset", "count", "min time", "max time", "bytes", "object", "block"} {
			fields = append(fields, field{widths[i], what})
		}
		return fields
	}
	fields := append([]field{}, headerFields...)
	fields = append(fields, names(2, 1, 2, 1, 1, 2, 3, 1, 1)...)
	fields = append(fields, names(1, 1, 1, 1, 1, 1, 2, 1, 1)...)
	fields = append(fields, names(1, 1, 1, 1, 1, 1, 1, 1, 1)...)
	golden(t, "consumequeue.hex", parts[0], fields)
	if got := decodeRuns(t, parts); !reflect.DeepEqual(got, runs) {
		t.Errorf("decoded %+v", got)
	}
}

func TestGoldenIndexValue(t *testing.T) {
	objects := []ObjectIndex{{
		Object: 1, Postings: 5000, MinTime: 1_700_000_000_100, MaxTime: 1_700_000_000_400,
		Fences: []segment.Fence{{First: 0x1122334455667700, Length: 6200}, {First: 0x9922334455667700, Position: 6200, Length: 100}},
	}}
	parts, err := EncodeIndex(testHeader, objects)
	if err != nil || len(parts) != 1 {
		t.Fatal(len(parts), err)
	}
	fields := append([]field{}, headerFields...)
	fields = append(fields, field{1, "object"}, field{2, "postings"}, field{1, "min time"}, field{2, "max time"}, field{1, "fences"}, field{1, "position"},
		field{8, "fence: hash"}, field{2, "length"}, field{8, "fence: hash"}, field{1, "length"})
	golden(t, "index.hex", parts[0], fields)
}
