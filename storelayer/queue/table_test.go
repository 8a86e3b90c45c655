package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// stored is one message of a test's log.
type stored struct {
	q      message.Queue
	offset message.Offset
	e      message.Entry
	time   int64
	hashes []uint64
	base   message.Position // of its segment
}

// shard is a table and the log that it was made from.
type shard struct {
	t       *testing.T
	rng     *rand.Rand
	table   *Table
	log     []stored
	bases   []message.Position // of all segments
	local   int                // the first local one, an index into bases
	files   map[message.Position][]byte
	at      message.Position
	now     int64
	keys    map[uint64][]message.Position
	firsts  map[message.Queue]message.Offset
	dropped map[message.TopicID]message.Position
}

const testBase = 1 << 20

func newShard(t *testing.T, seed uint64) *shard {
	return &shard{
		t: t, rng: rand.New(rand.NewPCG(seed, 2)), table: NewTable(testBase), bases: []message.Position{testBase},
		files: map[message.Position][]byte{}, at: testBase, now: 1000, keys: map[uint64][]message.Position{},
		firsts: map[message.Queue]message.Offset{}, dropped: map[message.TopicID]message.Position{},
	}
}

func (s *shard) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shard) append() {
	q := message.Queue{Topic: message.TopicID(1 + s.rng.IntN(3)), ID: message.QueueID(s.rng.IntN(3))}
	if _, ok := s.dropped[q.Topic]; ok {
		return
	}
	n := 1 + s.rng.IntN(3)
	first := s.table.Reserve(q, n)
	for i := range n {
		offset := first + message.Offset(i)
		if next := s.table.Next(q); next != offset {
			s.t.Fatalf("reserved %d of queue %s, which ends at %d", offset, q, next)
		}
		size := uint32(100 + s.rng.IntN(100))
		m := stored{
			q: q, offset: offset, e: message.Entry{Position: s.at, Size: size, TagHash: s.rng.Uint32N(4)},
			time: s.now, base: s.bases[len(s.bases)-1],
		}
		for range s.rng.IntN(3) {
			// Few keys, of many buckets, so that some are shared.
			m.hashes = append(m.hashes, uint64(s.rng.IntN(20))<<59|uint64(s.rng.IntN(2)))
		}
		s.must(s.table.Append(m.q, m.offset, m.e, m.time, m.hashes))
		s.log = append(s.log, m)
		s.at += message.Position(size)
		s.now += int64(s.rng.IntN(3))
	}
}

func (s *shard) roll() {
	s.at = (s.at + 4095) / 4096 * 4096
	if s.at == s.bases[len(s.bases)-1] {
		return
	}
	s.must(s.table.Roll(s.at))
	s.bases = append(s.bases, s.at)
}

// file writes the file of a full segment in memory, one way or the other, and attaches it.
func (s *shard) file() {
	for _, state := range s.table.Segments()[:len(s.bases)-s.local-1] {
		if state.InFile || s.rng.IntN(2) == 0 {
			continue
		}
		var direct, rebuilt bytes.Buffer
		n, err := s.table.WriteSegment(state.Base, &direct)
		s.must(err)
		if n != int64(direct.Len()) {
			s.t.Fatalf("wrote %d bytes, said %d", direct.Len(), n)
		}
		b := NewBuilder(state.Base)
		for _, m := range s.log {
			if _, dropped := s.dropped[m.q.Topic]; m.base == state.Base && !dropped {
				s.must(b.Add(m.q, m.offset, m.e, m.hashes))
			}
		}
		_, err = b.WriteTo(&rebuilt)
		s.must(err)
		if len(s.dropped) == 0 && !bytes.Equal(direct.Bytes(), rebuilt.Bytes()) {
			s.t.Fatalf("the file of the segment at %s differs when it is made from the frames", state.Base)
		}
		s.files[state.Base] = direct.Bytes()
		s.must(s.table.Attach(s.open(state.Base)))
		return
	}
}

func (s *shard) open(base message.Position) *SegmentFile {
	f, err := OpenSegmentFile(bytes.NewReader(s.files[base]), int64(len(s.files[base])))
	s.must(err)
	if f.Base() != base {
		s.t.Fatalf("file of %s says %s", base, f.Base())
	}
	return f
}

func (s *shard) drop() {
	if len(s.bases)-s.local < 3 {
		return
	}
	base := s.bases[s.local]
	f, err := s.table.Drop(base)
	s.must(err)
	if _, ok := s.files[base]; ok != (f != nil) {
		s.t.Fatalf("dropped segment at %s: file %v, want %t", base, f, ok)
	}
	s.local++
}

// recovered makes the table again from a snapshot, which may be nil, the files of some segments and the frames of all.
func (s *shard) recovered(snapshot []byte, files bool) *Table {
	table := NewTable(s.bases[s.local])
	if snapshot != nil {
		var err error
		var rest []byte
		table, rest, err = DecodeSnapshot(snapshot, s.bases[s.local])
		s.must(err)
		if len(rest) != 0 {
			s.t.Fatalf("rest of a snapshot: %d bytes", len(rest))
		}
	}
	for i, base := range s.bases[s.local:] {
		if i > 0 {
			s.must(table.Roll(base))
		}
		last := i == len(s.bases)-s.local-1
		if _, ok := s.files[base]; ok && files && !last {
			s.must(table.Attach(s.open(base)))
			continue
		}
		for _, m := range s.log {
			if m.base == base {
				s.must(table.Append(m.q, m.offset, m.e, m.time, m.hashes))
			}
		}
	}
	for q, first := range s.firsts {
		if _, ok := s.dropped[q.Topic]; !ok {
			table.SetFirst(q, first)
		}
	}
	return table
}

func dump(t *testing.T, table *Table) string {
	t.Helper()
	var b bytes.Buffer
	if err := table.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// check compares the table with the log itself.
func (s *shard) check(table *Table) {
	s.t.Helper()
	local := map[message.Queue][]stored{}
	byHash := map[uint64][]message.Position{}
	for _, m := range s.log {
		if m.base < s.bases[s.local] {
			continue
		}
		for _, hash := range m.hashes {
			byHash[hash] = append(byHash[hash], m.e.Position)
		}
		if _, ok := s.dropped[m.q.Topic]; !ok {
			local[m.q] = append(local[m.q], m)
		}
	}
	for q, messages := range local {
		state, ok := table.Queue(q)
		first, last := messages[0], messages[len(messages)-1]
		if !ok || state.FirstLocal != first.offset || state.Next != last.offset+1 || state.LastStoreTime != last.time {
			s.t.Fatalf("queue %s is %+v, want [%d, %d]", q, state, first.offset, last.offset)
		}
		from := messages[s.rng.IntN(len(messages))]
		limit := 1 + s.rng.IntN(50)
		if from.offset < state.First {
			continue
		}
		got, err := table.Range(nil, q, from.offset, limit)
		s.must(err)
		for i, e := range got {
			if want := messages[int(from.offset-first.offset)+i]; e != want.e {
				s.t.Fatalf("entry %d of queue %s is %+v, want %+v", from.offset+message.Offset(i), q, e, want.e)
			}
		}
		if want := min(limit, int(state.Next-from.offset)); len(got) != want {
			s.t.Fatalf("%d entries of queue %s from %d on, want %d", len(got), q, from.offset, want)
		}
		s.checkTime(table, q, state, messages)
	}
	for hash, positions := range byHash {
		got, err := table.Lookup(nil, hash, 1000)
		s.must(err)
		slices.Reverse(positions)
		if len(s.dropped) == 0 && !slices.Equal(got, positions) {
			s.t.Fatalf("lookup of %016x: %v, want %v", hash, got, positions)
		}
	}
}

func (s *shard) checkTime(table *Table, q message.Queue, state State, messages []stored) {
	s.t.Helper()
	at := s.rng.Int64N(s.now + 2)
	times := map[message.Position]int64{}
	want := state.Next
	for _, m := range slices.Backward(messages) {
		times[m.e.Position] = m.time
		if m.time >= at && m.offset >= state.First {
			want = m.offset
		}
	}
	got, err := table.OffsetAt(q, at, func(e message.Entry) (int64, error) { return times[e.Position], nil })
	s.must(err)
	if got != want {
		s.t.Fatalf("offset of queue %s at %d is %d, want %d", q, at, got, want)
	}
}

// TestHistories drives random histories of appends, rolls, files, trims and deletions, and compares the table with
// the log, and with tables made again from a snapshot at a random moment, with and without the files.
func TestHistories(t *testing.T) {
	const histories = 1000
	for seed := range uint64(histories) {
		s := newShard(t, seed)
		var snapshot []byte
		taken, fileAt := s.rng.IntN(60), 0
		for step := range 60 {
			switch s.rng.IntN(12) {
			case 0:
				s.roll()
			case 1:
				s.file()
			case 2:
				if snapshot != nil {
					// Local bytes go only when a snapshot covers them.
					snapshot = s.table.AppendSnapshot(nil)
				}
				s.drop()
			case 3:
				if s.rng.IntN(3) == 0 {
					q := message.Queue{Topic: 1, ID: message.QueueID(s.rng.IntN(3))}
					if state, ok := s.table.Queue(q); ok {
						first := state.First + message.Offset(s.rng.IntN(int(state.Next-state.First)+1))
						s.table.SetFirst(q, first)
						s.firsts[q] = max(s.firsts[q], first)
					}
				} else if s.rng.IntN(8) == 0 {
					s.table.DropTopic(2, s.at)
					s.dropped[2] = s.at
					snapshot, fileAt = nil, step
				}
			default:
				s.append()
			}
			if step == taken {
				snapshot = s.table.AppendSnapshot(nil)
			}
		}
		s.check(s.table)
		want := dump(t, s.table)
		if snapshot == nil {
			snapshot = s.table.AppendSnapshot(nil)
		}
		for _, files := range []bool{false, true} {
			again := s.recovered(snapshot, files && fileAt == 0)
			if got := dump(t, again); stripped(got, files) != stripped(want, files) {
				t.Fatalf("seed %d: files %t: recovered\n%s\nwant\n%s", seed, files, got, want)
			}
			if !files {
				s.check(again)
			}
		}
	}
}

// stripped drops what a table recovered from files alone cannot know: the store time and position of messages
// behind the snapshot. Their frames are replayed for everything else, which brings both.
func stripped(dump string, files bool) string {
	if !files {
		return dump
	}
	var b bytes.Buffer
	for line := range bytes.SplitSeq([]byte(dump), []byte("\n")) {
		if i := bytes.Index(line, []byte(" last=")); i >= 0 {
			line = line[:i]
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func TestErrors(t *testing.T) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	entry := func(p message.Position) message.Entry { return message.Entry{Position: p, Size: 100} }
	for i := range 3 {
		if err := table.Append(q, message.Offset(i), entry(testBase+message.Position(100*i)), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := table.Append(q, 5, entry(testBase+900), 1, nil); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("hole: %v", err)
	}
	if err := table.Append(q, 3, entry(testBase-1), 1, nil); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("position before the segment: %v", err)
	}
	if err := table.Append(q, 3, entry(testBase+1<<32), 1, nil); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("position far behind the segment: %v", err)
	}
	before, _ := table.Queue(q)
	if err := table.Append(q, 1, entry(testBase+100), 0, nil); err != nil {
		t.Errorf("replay of a known message: %v", err)
	}
	if after, _ := table.Queue(q); after != before {
		t.Errorf("replay of a known message made %+v of %+v", after, before)
	}
	if err := table.Roll(testBase); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("roll back: %v", err)
	}
	if _, err := table.Drop(testBase); err == nil {
		t.Error("dropped the active segment")
	}
	if err := table.Roll(testBase + 4096); err != nil {
		t.Fatal(err)
	}
	if err := table.Append(q, 3, entry(testBase+4096), 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Drop(testBase); err != nil {
		t.Fatal(err)
	}
	if _, err := table.Entry(q, 2); !errors.Is(err, ErrNotLocal) {
		t.Errorf("entry of a dropped segment: %v", err)
	}
	for _, offset := range []message.Offset{-1, 4, 5} {
		_, err := table.Entry(q, offset)
		outside, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err)
		if !ok || outside.First != 0 || outside.Next != 4 || outside.Offset != offset {
			t.Errorf("entry %d: %v", offset, err)
		}
	}
	if got, err := table.Range(nil, q, 4, 10); err != nil || len(got) != 0 {
		t.Errorf("range at the end: %v, %v", got, err)
	}
	if got, err := table.Range(nil, message.Queue{Topic: 9}, 0, 10); err != nil || len(got) != 0 {
		t.Errorf("range of an unknown queue: %v, %v", got, err)
	}
	if _, err := table.Range(nil, message.Queue{Topic: 9}, 1, 10); err == nil {
		t.Error("range beyond an unknown queue gave no error")
	}
	if _, ok := table.Queue(message.Queue{Topic: 9}); ok {
		t.Error("a queue that never was is known")
	}
	table.Reserve(message.Queue{Topic: 9}, 1)
	if _, ok := table.Queue(message.Queue{Topic: 9}); ok || len(table.Queues()) != 1 {
		t.Error("a reserved offset is visible")
	}
}

// TestReplayBehindSnapshot: while a replay brings entries back, the end of the queue stays where the snapshot has it.
func TestReplayBehindSnapshot(t *testing.T) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	table.Restore(State{Queue: q, First: 2, Next: 10, LastStoreTime: 77, Current: testBase + 5000})
	if err := table.Append(q, 11, message.Entry{Position: testBase}, 1, nil); !errors.Is(err, message.ErrCorrupt) {
		t.Errorf("hole behind the snapshot: %v", err)
	}
	if err := table.Append(q, 7, message.Entry{Position: testBase}, 1, nil); err != nil {
		t.Fatal(err)
	}
	want := State{Queue: q, First: 2, FirstLocal: 7, Next: 10, LastStoreTime: 77, Current: testBase + 5000}
	if got, _ := table.Queue(q); got != want {
		t.Errorf("state %+v, want %+v", got, want)
	}
	if got := table.Reserve(q, 1); got != 10 {
		t.Errorf("reserved %d", got)
	}
}

// TestTrimDuringSearch: a search by time goes on in what a trim leaves.
func TestTrimDuringSearch(t *testing.T) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	for i := range 20 {
		if i == 8 {
			if err := table.Roll(testBase + 4096); err != nil {
				t.Fatal(err)
			}
		}
		e := message.Entry{Position: testBase + message.Position(100*i), TagHash: uint32(i)}
		if i >= 8 {
			e.Position += 4096
		}
		if err := table.Append(q, message.Offset(i), e, int64(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	got, err := table.OffsetAt(q, 9, func(e message.Entry) (int64, error) {
		if calls++; calls == 1 {
			if _, err := table.Drop(testBase); err != nil {
				t.Fatal(err)
			}
			// The search goes on to lower offsets, and those below 8 are gone now.
		}
		return int64(e.TagHash), nil
	})
	if err != nil || got != 9 {
		t.Errorf("offset %d, %v", got, err)
	}
	if got, err := table.OffsetAt(q, 3, func(e message.Entry) (int64, error) { return int64(e.TagHash), nil }); err != nil || got != 8 {
		t.Errorf("offset %d, %v; the lowest that is left is 8", got, err)
	}
	if got, err := table.OffsetAt(q, 17, func(e message.Entry) (int64, error) { return int64(e.TagHash), nil }); err != nil || got != 17 {
		t.Errorf("offset %d, %v", got, err)
	}
	if _, err := table.OffsetAt(q, 17, func(message.Entry) (int64, error) { return 0, errDisk }); !errors.Is(err, errDisk) {
		t.Errorf("a store time that cannot be read: %v", err)
	}
}

// TestReaders lets readers run beside appends, rolls, files and trims, for the race detector and for holes.
func TestReaders(t *testing.T) {
	s := newShard(t, 42)
	q := message.Queue{Topic: 1, ID: 1}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var entries []message.Entry
			for {
				select {
				case <-stop:
					return
				default:
				}
				state, _ := s.table.Queue(q)
				var err error
				entries, err = s.table.Range(entries[:0], q, state.FirstLocal, 1000)
				if err != nil && !errors.Is(err, ErrNotLocal) {
					t.Errorf("range from %d: %v", state.FirstLocal, err)
					return
				}
				if err == nil && len(entries) < min(1000, int(state.Next-state.FirstLocal)) {
					t.Errorf("%d entries of [%d, %d)", len(entries), state.FirstLocal, state.Next)
				}
				if !slices.IsSortedFunc(entries, func(a, b message.Entry) int { return int(int64(a.Position) - int64(b.Position)) }) {
					t.Error("entries are not in log order")
				}
				if _, err := s.table.Lookup(nil, 1<<59, 100); err != nil {
					t.Error(err)
				}
				s.table.AppendSnapshot(nil)
			}
		})
	}
	for range 3000 {
		switch s.rng.IntN(20) {
		case 0:
			s.roll()
		case 1:
			s.file()
		case 2:
			s.drop()
		default:
			s.append()
		}
	}
	close(stop)
	readers.Wait()
	s.check(s.table)
}

// TestFilesBesideAppends writes, attaches and drops segments in one goroutine while another appends.
func TestFilesBesideAppends(t *testing.T) {
	table := NewTable(testBase)
	const perSegment, segments = 300, 40
	var applier sync.WaitGroup
	applier.Go(func() {
		at := message.Position(testBase)
		for i := range perSegment * segments {
			if i > 0 && i%perSegment == 0 {
				at = (at + 4095) / 4096 * 4096
				if err := table.Roll(at); err != nil {
					t.Error(err)
					return
				}
			}
			q := message.Queue{Topic: 1, ID: message.QueueID(i % 2)}
			e := message.Entry{Position: at, Size: 100, TagHash: uint32(i)}
			if err := table.Append(q, table.Reserve(q, 1), e, int64(i), []uint64{uint64(i%10) << 60}); err != nil {
				t.Error(err)
				return
			}
			at += 100
		}
	})
	dropped := 0
	for dropped < segments-5 && !t.Failed() {
		all := table.Segments()
		for _, s := range all[:len(all)-1] {
			if s.InFile {
				continue
			}
			var b bytes.Buffer
			if _, err := table.WriteSegment(s.Base, &b); err != nil {
				t.Fatal(err)
			}
			f, err := OpenSegmentFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
			if err != nil {
				t.Fatal(err)
			}
			if err := table.Attach(f); err != nil {
				t.Fatal(err)
			}
		}
		if len(all) < 4 {
			runtime.Gosched()
			continue
		}
		f, err := table.Drop(all[0].Base)
		if err != nil || f == nil {
			t.Fatal(f, err)
		}
		dropped++
	}
	applier.Wait()
	for id := range message.QueueID(2) {
		q := message.Queue{Topic: 1, ID: id}
		s, _ := table.Queue(q)
		entries, err := table.Range(nil, q, s.FirstLocal, 10_000)
		if err != nil || s.Next != perSegment*segments/2 || len(entries) != int(s.Next-s.FirstLocal) {
			t.Fatalf("%d entries of %+v, %v", len(entries), s, err)
		}
		for i, e := range entries {
			if want := 2*(int(s.FirstLocal)+i) + int(id); int(e.TagHash) != want {
				t.Fatalf("entry %d of queue %s is message %d, want %d", i, q, e.TagHash, want)
			}
		}
	}
}

func TestPlace(t *testing.T) {
	var s slabs
	for i := range uint32(5000) {
		s.append(message.Entry{Position: message.Position(i)})
	}
	for i := range uint32(5000) {
		e, err := message.DecodeEntry(s.bytes(i, 1))
		if err != nil || e.Position != message.Position(i) {
			t.Fatalf("entry %d is %+v, %v", i, e, err)
		}
	}
	for i, part := range s.parts {
		if want := min(firstSlab<<i, lastSlab) * entryLen; cap(part) < want || cap(part) > want+want/8+64 {
			t.Errorf("slab %d has room for %d bytes, want %d", i, cap(part), want)
		}
	}
}

// TestIdleQueues: 10,000 topics with 8 queues each, all known and none with a local message, fit in 200 bytes per queue.
func TestIdleQueues(t *testing.T) {
	const queues = 80_000
	before := heap()
	table := NewTable(testBase)
	for i := range queues {
		table.Restore(State{Queue: message.Queue{Topic: message.TopicID(i / 8), ID: message.QueueID(i % 8)}, Next: 10, Current: 5})
	}
	per := float64(heap()-before) / queues
	t.Logf("%.0f bytes per queue", per)
	if per > 200 {
		t.Errorf("%.0f bytes per idle queue, want at most 200", per)
	}
	runtime.KeepAlive(table)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkAppend(b *testing.B) {
	for _, queues := range []int{1, 1000} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			table := NewTable(testBase)
			hashes := make([]uint64, 1)
			rng := rand.New(rand.NewPCG(1, 1))
			at, base := message.Position(testBase), message.Position(testBase)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q := message.Queue{Topic: 1, ID: message.QueueID(i % queues)}
				hashes[0] = rng.Uint64()
				if at-base > 1<<30 {
					b.StopTimer()
					if err := table.Roll(at); err != nil {
						b.Fatal(err)
					}
					if _, err := table.Drop(base); err != nil {
						b.Fatal(err)
					}
					base = at
					b.StartTimer()
				}
				if err := table.Append(q, table.Reserve(q, 1), message.Entry{Position: at, Size: 1024}, 1, hashes); err != nil {
					b.Fatal(err)
				}
				at += 1024
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	for i := range 1_000_000 {
		if err := table.Append(q, message.Offset(i), message.Entry{Position: testBase + message.Position(i)*1024, Size: 1024}, 1, nil); err != nil {
			b.Fatal(err)
		}
	}
	var entries []message.Entry
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var err error
		if entries, err = table.Range(entries[:0], q, message.Offset(i*32%900_000), 32); err != nil || len(entries) != 32 {
			b.Fatal(len(entries), err)
		}
	}
}
