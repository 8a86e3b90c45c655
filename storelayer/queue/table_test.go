package queue

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stratamq/stratamq/message"
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

// TestReaders lets readers run beside appends, rolls, files and trims, for the race detector and for holes.

// TestFilesBesideAppends writes, attaches and drops segments in one goroutine while another appends.

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
