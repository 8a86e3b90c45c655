package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
)

// drawRows draws the sorted records of an object.
func drawRows(t *rapid.T) []row {
	var rows []row
	topics := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 1<<63), 0, 4, rapid.ID).Draw(t, "topics")
	slices.Sort(topics)
	keyNames := rapid.SliceOfN(rapid.StringMatching(`k[0-9]`), 0, 3)
	for _, topic := range topics {
		queues := rapid.SliceOfNDistinct(rapid.Uint32Range(0, 1000), 1, 3, rapid.ID).Draw(t, "queues")
		slices.Sort(queues)
		for _, id := range queues {
			queue := message.Queue{Topic: message.TopicID(topic), ID: message.QueueID(id)}
			offset := message.Offset(rapid.Int64Range(0, 1<<40).Draw(t, "first"))
			at := rapid.Int64Range(0, 1<<42).Draw(t, "time")
			for range rapid.IntRange(1, 30).Draw(t, "count") {
				size := rapid.SampledFrom([]int{0, 1, 20, 100, 900}).Draw(t, "size")
				var body []byte
				if rapid.Bool().Draw(t, "random") {
					body = rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "body")
				} else {
					body = bytes.Repeat([]byte("a"), size)
				}
				rows = append(rows, newRow(queue, offset, at, body, keyNames.Draw(t, "keys")...))
				offset++
				at += rapid.Int64Range(0, 5).Draw(t, "step")
			}
		}
	}
	for i := range rows { // positions lie in the log range
		rows[i].entry.Position = message.Position(1000 + i)
	}
	return rows
}

// TestRoundTrip writes random objects and finds every record again, by offset, time, key and entry.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := drawRows(rt)
		codec := rapid.SampledFrom([]Codec{CodecNone, CodecS2, CodecZstd}).Draw(rt, "codec")
		blockSize := rapid.SampledFrom([]int{1, 200, 1000, DefaultBlockSize}).Draw(rt, "block size")
		b, sealed := write(rt, testConfig(codec, blockSize), rows)
		r, _ := openBytes(t, b)
		same := slices.Equal(r.dir.queues, sealed.Directory.queues) && slices.Equal(r.dir.blocks, sealed.Directory.blocks)
		if !same || r.Trailer() != sealed.Trailer {
			rt.Fatalf("read back\n%+v\n%+v\nwritten\n%+v\n%+v", r.Directory(), r.Trailer(), sealed.Directory, sealed.Trailer)
		}
		if err := r.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
		checkRows(t.Context(), rt, r, rows)
		checkKeys(t.Context(), rt, r, rows)
		checkTimes(rt, r, rows)
	})
}

func checkRows(ctx context.Context, t *rapid.T, r *Reader, rows []row) {
	for _, want := range rows {
		b, ok := r.Directory().BlockAt(want.queue, want.offset)
		if !ok {
			t.Fatalf("no block of %s@%d", want.queue, want.offset)
		}
		h, records, err := r.Block(ctx, b)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for stored, err := range h.Records(records) {
			if err != nil {
				t.Fatal(err)
			}
			if stored.Offset == want.offset {
				found = true
				if !bytes.Equal(stored.Record, want.record) {
					t.Fatalf("%s@%d has other bytes", want.queue, want.offset)
				}
			}
		}
		if !found {
			t.Fatalf("%s@%d is not in its block", want.queue, want.offset)
		}
		entries, err := r.Entries(ctx, want.queue, want.offset, 1)
		if err != nil || len(entries) != 1 || entries[0] != want.entry {
			t.Fatalf("entry of %s@%d is %+v, %v", want.queue, want.offset, entries, err)
		}
	}
	var reread []row
	for q := range r.Directory().Queues() {
		entries, err := r.Entries(ctx, q.Queue, q.First, 1<<30)
		if err != nil || len(entries) != q.Count {
			t.Fatalf("%d entries of %s, %v", len(entries), q.Queue, err)
		}
		for i := range entries {
			reread = append(reread, row{queue: q.Queue, offset: q.First + message.Offset(i)})
		}
		for _, outside := range []message.Offset{q.First - 1, q.Next()} {
			if b, ok := r.Directory().BlockAt(q.Queue, outside); ok {
				t.Fatalf("offset %d is in %+v", outside, b)
			}
			if entries, err := r.Entries(ctx, q.Queue, outside, 1); err != nil || len(entries) != 0 {
				t.Fatalf("offset %d has entries %v, %v", outside, entries, err)
			}
		}
	}
	if len(reread) != len(rows) {
		t.Fatalf("%d records, want %d", len(reread), len(rows))
	}
}

func checkKeys(ctx context.Context, t *rapid.T, r *Reader, rows []row) {
	want := map[uint64][]int{}
	for _, row := range rows {
		b, _ := r.Directory().BlockAt(row.queue, row.offset)
		for _, key := range row.keys {
			if blocks := want[key]; len(blocks) == 0 || blocks[len(blocks)-1] != b.Number {
				want[key] = append(blocks, b.Number)
			}
		}
	}
	want[42] = nil
	for key, numbers := range want {
		blocks, err := r.Lookup(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, b := range blocks {
			got = append(got, b.Number)
		}
		if !slices.Equal(got, numbers) {
			t.Fatalf("key %016x is in blocks %v, want %v", key, got, numbers)
		}
	}
}

func checkTimes(t *rapid.T, r *Reader, rows []row) {
	for q := range r.Directory().Queues() {
		times := map[int64]bool{0: true, 1 << 50: true}
		for _, row := range rows {
			if row.queue == q.Queue {
				times[row.time-1], times[row.time], times[row.time+1] = true, true, true
			}
		}
		for at := range times {
			got, ok := r.Directory().BlockAtTime(q.Queue, at)
			i := slices.IndexFunc(rows, func(row row) bool { return row.queue == q.Queue && row.time >= at })
			if ok != (i >= 0) {
				t.Fatalf("time %d of %s: found %v", at, q.Queue, ok)
			}
			if !ok {
				continue
			}
			if want, _ := r.Directory().BlockAt(q.Queue, rows[i].offset); got != want {
				t.Fatalf("time %d of %s is in block %+v, want %+v", at, q.Queue, got, want)
			}
		}
	}
}

// manyRows are n records of a few queues, like JSON.
func manyRows(n, queues, bodyLen int) []row {
	rng := rand.New(rand.NewPCG(1, 2))
	rows := make([]row, 0, n)
	for q := range queues {
		for i := range n / queues {
			body := fmt.Appendf(nil, `{"order":%d,"customer":"c-%08x","amount":%d,"currency":"EUR","lines":[`, i, rng.Uint32(), rng.IntN(100000))
			for len(body) < bodyLen {
				body = fmt.Appendf(body, `{"sku":"%06d","quantity":%d,"price":%d},`, rng.IntN(1000000), rng.IntN(9), rng.IntN(10000))
			}
			rows = append(rows, newRow(message.Queue{Topic: 9, ID: message.QueueID(q)}, message.Offset(i), int64(1_700_000_000_000+i), body[:bodyLen], fmt.Sprintf("key-%d-%d", q, i)))
		}
	}
	return rows
}

// TestRequests counts what a seek costs.
func TestRequests(t *testing.T) {
	rows := manyRows(20_000, 4, 500)
	b, sealed := write(t, testConfig(CodecZstd, 16<<10), rows)
	r, src := openBytes(t, b)
	step := func(what string, wantRequests, atMost int64, do func()) {
		t.Helper()
		requests, bytes := src.requests.Load(), src.bytes.Load()
		do()
		requests, bytes = src.requests.Load()-requests, src.bytes.Load()-bytes
		if requests != wantRequests || bytes > atMost {
			t.Errorf("%s takes %d requests and %d bytes, at most %d and %d", what, requests, bytes, wantRequests, atMost)
		}
	}
	if src.requests.Load() > 2 {
		t.Errorf("open takes %d requests", src.requests.Load())
	}
	want := rows[12_345]
	step("fences", 1, 2000, func() {
		if _, err := r.Fences(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	step("lookup", 1, 8<<10, func() {
		blocks, err := r.Lookup(t.Context(), want.keys[0])
		at, _ := r.Directory().BlockAt(want.queue, want.offset)
		if err != nil || len(blocks) != 1 || blocks[0] != at {
			t.Fatalf("%+v, %v", blocks, err)
		}
	})
	step("lookup of nothing", 1, 8<<10, func() {
		if blocks, err := r.Lookup(t.Context(), 12345<<40); err != nil || len(blocks) != 0 {
			t.Fatalf("%+v, %v", blocks, err)
		}
	})
	step("entries", 1, 3*columnPageLen, func() {
		entries, err := r.Entries(t.Context(), want.queue, want.offset, 1000)
		if err != nil || len(entries) != 1000 || entries[0] != want.entry {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
	})
	step("block", 1, 20<<10, func() {
		at, _ := r.Directory().BlockAt(want.queue, want.offset)
		if _, _, err := r.Block(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	})
	postings := float64(sealed.Trailer.Sections[SectionPostings].Length) / float64(sealed.Trailer.Postings)
	t.Logf("%.2f bytes per posting, directory %d, fences %d", postings, sealed.Trailer.Sections[SectionDirectory].Length, sealed.Trailer.Sections[SectionFences].Length)
	if postings > 7.5 {
		t.Errorf("a posting takes %.2f bytes", postings)
	}
}

// TestLargePostings has one key in so many blocks that its postings take several pages.
func TestLargePostings(t *testing.T) {
	var rows []row
	for i := range 3 * PostingsPerPage {
		rows = append(rows, newRow(message.Queue{Topic: 1}, message.Offset(i), int64(i), []byte("x"), "common", fmt.Sprintf("own-%d", i)))
	}
	b, _ := write(t, testConfig(CodecNone, 1), rows)
	r, _ := openBytes(t, b)
	blocks, err := r.Lookup(t.Context(), rows[0].keys[0])
	if err != nil || len(blocks) != len(rows) {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	for i, row := range rows {
		blocks, err := r.Lookup(t.Context(), row.keys[1])
		if err != nil || len(blocks) != 1 || blocks[0].Number != i {
			t.Fatalf("%+v, %v", blocks, err)
		}
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLargeRecord(t *testing.T) {
	large := make([]byte, message.MaxRecordLen-message.EnvelopeLen)
	rows := []row{
		newRow(message.Queue{Topic: 1}, 0, 0, []byte("small")),
		newRow(message.Queue{Topic: 1}, 1, 1, large),
		newRow(message.Queue{Topic: 1}, 2, 2, []byte("small")),
	}
	for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
		b, sealed := write(t, testConfig(codec, 0), rows)
		r, _ := openBytes(t, b)
		if err := r.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		if sealed.Trailer.Blocks != 3 {
			t.Errorf("%d blocks", sealed.Trailer.Blocks)
		}
	}
}

// TestOrder refuses what would make a wrong object, and stays refusing.
func TestOrder(t *testing.T) {
	base := newRow(message.Queue{Topic: 5, ID: 5}, 10, 100, []byte("x"))
	for name, change := range map[string]func(r *row){
		"same offset":    func(*row) {},
		"hole":           func(r *row) { r.offset = 12 },
		"offset back":    func(r *row) { r.offset = 9 },
		"time back":      func(r *row) { r.offset, r.time = 11, 99 },
		"queue back":     func(r *row) { r.queue.ID = 4 },
		"topic back":     func(r *row) { r.queue = message.Queue{Topic: 4, ID: 9} },
		"entry size":     func(r *row) { r.offset, r.entry.Size = 11, 1 },
		"short record":   func(r *row) { r.offset, r.record, r.entry.Size = 11, []byte("x"), 1 },
		"negative":       func(r *row) { r.queue.ID, r.offset = 6, -1 },
		"time too large": func(r *row) { r.queue.ID, r.time = 6, maxSpan+1 },
	} {
		w, err := NewWriter(&bytes.Buffer{}, testConfig(CodecNone, 0))
		if err != nil {
			t.Fatal(err)
		}
		add := func(r row) error { return w.Add(r.queue, r.offset, r.time, r.entry, r.keys, r.record) }
		if err := add(base); err != nil {
			t.Fatal(err)
		}
		bad := base
		change(&bad)
		first := add(bad)
		if first == nil {
			t.Errorf("%s is accepted", name)
		}
		if _, err := w.Close(); !errors.Is(err, first) {
			t.Errorf("%s: close gives %v", name, err)
		}
	}
	if _, err := NewWriter(&bytes.Buffer{}, WriterConfig{LogStart: 2, LogEnd: 1}); err == nil {
		t.Error("a log range that goes back is accepted")
	}
	if _, err := NewWriter(&bytes.Buffer{}, WriterConfig{Codec: codecEnd}); err == nil {
		t.Error("an unknown codec is accepted")
	}
}

// limitedWriter fails after some bytes.
type limitedWriter struct{ left int }

var errFull = errors.New("full")

func (w *limitedWriter) Write(b []byte) (int, error) {
	if len(b) > w.left {
		return w.left, errFull
	}
	w.left -= len(b)
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	rows := manyRows(100, 2, 100)
	b, _ := write(t, testConfig(CodecNone, 1000), rows)
	for limit := 0; limit < len(b); limit += 37 {
		w, err := NewWriter(&limitedWriter{left: limit}, testConfig(CodecNone, 1000))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			err = errors.Join(err, w.Add(r.queue, r.offset, r.time, r.entry, r.keys, r.record))
		}
		if _, closeErr := w.Close(); !errors.Is(errors.Join(err, closeErr), errFull) {
			t.Fatalf("limit %d: %v, %v", limit, err, closeErr)
		}
	}
}

// TestEveryBitCounts flips each byte of an object: it is refused, or what is read stays the same.
func TestEveryBitCounts(t *testing.T) {
	rows := manyRows(40, 2, 60)
	good, _ := write(t, testConfig(CodecS2, 500), rows)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		src := &memory{b: bad}
		r, err := Open(t.Context(), src, int64(len(bad)))
		if err == nil {
			err = r.Verify(t.Context())
		}
		if !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("byte %d of %d flipped: %v", i, len(good), err)
		}
	}
	for n := range good {
		if _, err := Open(t.Context(), &memory{b: good[:n]}, int64(n)); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// TestWrongBlock reads a good block where the directory has another: a store that serves wrong ranges is found out.
func TestWrongBlock(t *testing.T) {
	b, _ := write(t, testConfig(CodecNone, 500), manyRows(40, 2, 100))
	r, _ := openBytes(t, b)
	first, _ := r.Directory().Block(0)
	second, _ := r.Directory().Block(1)
	stored := b[second.Position : second.Position+int64(second.Length)]
	if _, _, err := second.Decode(nil, stored); err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.Decode(nil, stored); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("another block is taken: %v", err)
	}
}

// TestInStore writes an object into a store and reads it from there.
func TestInStore(t *testing.T) {
	store, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // errcheck: nothing was left open that could be lost
	b, _ := write(t, testConfig(CodecZstd, 0), manyRows(100, 2, 100))
	key := Key{Cluster: "c1", Shard: 7, Base: 1000, Class: Class7d, Epoch: 3, UUID: strings.Repeat("0a", 16)}
	if err := store.Put(t.Context(), key.String(), bytes.NewReader(b), int64(len(b)), tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := Open(t.Context(), Object(store, key.String()), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClass(t *testing.T) {
	const day = 24 * time.Hour
	for limit, want := range map[time.Duration]Class{
		0: ClassEver, -1: ClassEver, 1: Class1d, day: Class1d, day + 1: Class3d, 3 * day: Class3d, 5 * day: Class7d,
		8 * day: Class30d, 31 * day: Class1y, 366 * day: Class1y, 367 * day: ClassEver,
	} {
		if got := ClassFor(limit); got != want {
			t.Errorf("limit %v has class %v, want %v", limit, got, want)
		}
	}
	if _, err := ParseClass("2d"); err == nil {
		t.Error("2d is a class")
	}
	if _, err := ParseCodec("gzip"); err == nil {
		t.Error("gzip is a codec")
	}
	for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
		if got, err := ParseCodec(codec.String()); got != codec || err != nil {
			t.Errorf("%v parses to %v, %v", codec, got, err)
		}
	}
}
