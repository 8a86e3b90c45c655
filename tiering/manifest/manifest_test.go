package manifest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering/segment"
)

func testEntry() Entry {
	return Entry{
		Cluster: "c1", Shard: 7, Sequence: 3, Epoch: 5, Previous: meta.HashEntry([]byte("entry 2")), Created: 1_700_000_000_000,
		Base: 4096, End: 1 << 30,
		Snapshot: Snapshot{UUID: UUID{0x51, 15: 0x52}, Size: 4242, CRC32C: 0xcafe, ReplayStart: 1<<30 + 4096},
		Objects: []Object{
			{UUID: UUID{1, 2, 3}, Class: segment.Class3d, Size: 1000, CRC32C: 0xabcd, Directory: 600, Records: 12, MinTime: 1_700_000_000_000, MaxTime: 1_700_000_000_900, RawBytes: 4000},
			{UUID: UUID{4, 5, 6}, Class: segment.ClassEver, Size: 2000, CRC32C: 0xef01, Directory: 1600, Records: 34, MinTime: 1_700_000_000_100, MaxTime: 1_700_000_000_800, RawBytes: 9000},
		},
		Deletions:    []string{"c1/00007/00000000000000000000/1d-0000000001-000102030405060708090a0b0c0d0e0f"},
		FirstOffsets: []FirstOffset{{Queue: message.Queue{Topic: 1, ID: 2}, Offset: 77}, {Queue: message.Queue{Topic: 9}, Offset: 5}},
	}
}

func TestKeys(t *testing.T) {
	e := testEntry()
	for got, want := range map[string]string{
		e.Key():                   "c1/manifest/00007/00000000000000000003",
		e.ObjectKey(e.Objects[0]): "c1/00007/00000000000000004096/3d-0000000005-01020300000000000000000000000000",
		e.SnapshotKey():           "c1/00007/00000000000000004096/snapshot-0000000005-51000000000000000000000000000052",
	} {
		if got != want {
			t.Errorf("key %s, want %s", got, want)
		}
	}
}

func TestEntryRoundTrip(t *testing.T) {
	e := testEntry()
	raw := e.AppendTo([]byte("head"))[4:]
	got, err := DecodeEntry(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, e) {
		t.Errorf("decoded\n%+v, want\n%+v", got, e)
	}
	for i := range raw {
		damaged := bytes.Clone(raw)
		damaged[i] ^= 1
		if _, err := DecodeEntry(damaged); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, err := DecodeEntry(raw[:i]); !errors.Is(err, message.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

func TestEntryRefuses(t *testing.T) {
	for name, change := range map[string]func(*Entry){
		"sequence 0":                 func(e *Entry) { e.Sequence = 0 },
		"a first entry with a hash":  func(e *Entry) { e.Sequence = 1 },
		"a later one without":        func(e *Entry) { e.Previous = meta.EntryHash{} },
		"a range backwards":          func(e *Entry) { e.End = e.Base - 1 },
		"no cluster":                 func(e *Entry) { e.Cluster = "" },
		"a snapshot that starts low": func(e *Entry) { e.Snapshot.ReplayStart = e.End - 1 },
		"objects out of order":       func(e *Entry) { e.Objects[0].Class = segment.ClassEver },
		"objects of nothing":         func(e *Entry) { e.Base = e.End },
		"a directory outside":        func(e *Entry) { e.Objects[1].Directory = 1999 },
		"a key that is none":         func(e *Entry) { e.Deletions[0] = "../x" },
		"first offsets unsorted":     func(e *Entry) { e.FirstOffsets[0].Queue.Topic = 10 },
		"a negative offset":          func(e *Entry) { e.FirstOffsets[1].Offset = -1 },
	} {
		e := testEntry()
		change(&e)
		if _, err := DecodeEntry(e.AppendTo(nil)); !errors.Is(err, message.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func randomRuns(random *rand.Rand, n int) []Run {
	runs := make([]Run, 0, n)
	q := message.Queue{}
	for range n {
		if random.IntN(4) == 0 {
			q = message.Queue{Topic: q.Topic + message.TopicID(1+random.IntN(50)), ID: message.QueueID(random.IntN(8))}
		} else {
			q.ID += 1 + message.QueueID(random.IntN(3))
		}
		minTime := 1_700_000_000_000 + random.Int64N(3_600_000)
		runs = append(runs, Run{
			Queue: q, First: message.Offset(random.Int64N(1 << 40)), Count: 1 + random.IntN(10_000), MinTime: minTime, MaxTime: minTime + random.Int64N(3_600_000),
			Bytes: random.Int64N(1 << 24), Object: random.IntN(3), Block: random.IntN(5000),
		})
	}
	return runs
}

func decodeRuns(t *testing.T, parts [][]byte) []Run {
	t.Helper()
	var runs []Run
	for i, part := range parts {
		if len(part) > meta.MaxDataLen {
			t.Fatalf("part %d has %d bytes", i, len(part))
		}
		v, err := DecodeQueueValue(part)
		if err != nil {
			t.Fatal(err)
		}
		if v.Part != i || v.Parts != len(parts) || v.Shard != 7 || v.Sequence != 3 || v.Base != 4096 {
			t.Fatalf("part %d of %d has header %+v", i, len(parts), v.ValueHeader)
		}
		runs = append(runs, v.Runs...)
	}
	return runs
}

var testHeader = ValueHeader{Shard: 7, Sequence: 3, Base: 4096}

func TestQueueValueRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 1000, 60_000} {
		runs := randomRuns(random, n)
		parts, err := EncodeRuns(testHeader, runs)
		if err != nil {
			t.Fatal(err)
		}
		if n == 60_000 && len(parts) < 2 {
			t.Errorf("%d runs in %d parts", n, len(parts))
		}
		got := decodeRuns(t, parts)
		if len(got) != n || n > 0 && !reflect.DeepEqual(got, runs) {
			t.Errorf("%d runs came back as %d, or differ", n, len(got))
		}
		for _, want := range runs[:min(n, 100)] {
			if run, ok := FindRun(got, want.Queue); !ok || run != want {
				t.Errorf("found %+v, want %+v", run, want)
			}
		}
		if _, ok := FindRun(got, message.Queue{Topic: 1 << 60}); ok {
			t.Error("found a queue that is not there")
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	runs := randomRuns(rand.New(rand.NewPCG(1, 2)), 3)
	runs[0], runs[1] = runs[1], runs[0]
	if _, err := EncodeRuns(testHeader, runs); !errors.Is(err, errUnordered) {
		t.Errorf("runs out of order: %v", err)
	}
	for name, fences := range map[string][]segment.Fence{
		"low bits of a hash":  {{First: 1, Length: 30}},
		"hashes out of order": {{First: 512, Length: 30}, {First: 256, Position: 30, Length: 30}},
		"a hole":              {{First: 256, Length: 30}, {First: 512, Position: 31, Length: 30}},
	} {
		if _, err := EncodeIndex(testHeader, []ObjectIndex{{Fences: fences}}); !errors.Is(err, errUnordered) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func randomIndex(random *rand.Rand, fences ...int) []ObjectIndex {
	var objects []ObjectIndex
	for i, n := range fences {
		o := ObjectIndex{Object: 2 * i, Postings: random.Int64N(1 << 30), MinTime: 1_700_000_000_000 + random.Int64N(1000)}
		o.MaxTime = o.MinTime + random.Int64N(1000)
		hash, position := uint64(0), uint32(0)
		for range n {
			hash += random.Uint64N(1<<48) << hashShift / uint64(n)
			hash &^= 1<<hashShift - 1
			f := segment.Fence{First: hash, Position: position, Length: 20 + uint32(random.IntN(8000))}
			position += f.Length
			o.Fences = append(o.Fences, f)
		}
		objects = append(objects, o)
	}
	return objects
}

func TestIndexValueRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, fences := range [][]int{{}, {1}, {5, 1, 200}, {3, 90_000, 2}} {
		objects := randomIndex(random, fences...)
		parts, err := EncodeIndex(testHeader, objects)
		if err != nil {
			t.Fatal(err)
		}
		var got []ObjectIndex
		for i, part := range parts {
			if len(part) > meta.MaxDataLen {
				t.Fatalf("part %d has %d bytes", i, len(part))
			}
			v, err := DecodeIndexValue(part)
			if err != nil {
				t.Fatal(err)
			}
			if v.Part != i || v.Parts != len(parts) {
				t.Fatalf("part %d of %d has header %+v", i, len(parts), v.ValueHeader)
			}
			for _, o := range v.Objects {
				if n := len(got); n > 0 && got[n-1].Object == o.Object {
					got[n-1].Fences = append(got[n-1].Fences, o.Fences...)
					continue
				}
				got = append(got, o)
			}
		}
		if !reflect.DeepEqual(got, objects) {
			t.Errorf("%v fences differ in %d parts", fences, len(parts))
		}
	}
}

// TestMetadataBytes: what a seal writes into the metadata store stays below 0.02 % of a full segment, with up to 1,000
// queues; above that a queue costs at most 128 bytes.
func TestMetadataBytes(t *testing.T) {
	const gib = 1 << 30
	random := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ queues, recordBytes, keysPerRecord int }{
		{8, 1100, 2}, {1000, 1100, 2}, {1000, 300, 2}, {20_000, 1100, 2},
	} {
		runs := randomRuns(random, c.queues)
		postings := gib / c.recordBytes * c.keysPerRecord
		objects := randomIndex(random, (postings+segment.PostingsPerPage-1)/segment.PostingsPerPage)
		d := Derived{Runs: runs, Indexes: objects}
		e := testEntry()
		queues, index, err := d.Values(&e)
		if err != nil {
			t.Fatal(err)
		}
		total := len(meta.ManifestHead{Sequence: 3, Entry: e.AppendTo(nil)}.AppendTo(nil))
		for _, part := range append(queues, index...) {
			total += len(meta.Envelope{Writer: "a store node of usual name", Data: part}.AppendTo(nil))
		}
		limit := gib / 5000
		if c.queues > 1000 {
			limit += 128 * (c.queues - 1000)
		}
		t.Logf("%d queues, %d-byte records: %d bytes, %.4f %% of a segment, in %d values", c.queues, c.recordBytes, total, 100*float64(total)/gib, len(queues)+len(index))
		if total > limit {
			t.Errorf("%d bytes, more than %d", total, limit)
		}
	}
}
