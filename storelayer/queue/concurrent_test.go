package queue

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/message"
)

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
