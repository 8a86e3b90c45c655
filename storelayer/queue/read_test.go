package queue

import (
	"errors"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

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

// A trim may take a segment's bytes between the look at an entry and the read of its store time.
func TestTrimBetweenEntryAndStoreTime(t *testing.T) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	for i := range 20 {
		e := message.Entry{Position: testBase + message.Position(100*i), TagHash: uint32(i)}
		if i == 12 {
			if err := table.Roll(testBase + 4096); err != nil {
				t.Fatal(err)
			}
		}
		if i >= 12 {
			e.Position += 4096
		}
		if err := table.Append(q, message.Offset(i), e, int64(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	dropped := false
	got, err := table.OffsetAt(q, 3, func(e message.Entry) (int64, error) {
		if !dropped {
			dropped = true
			if _, err := table.Drop(testBase); err != nil {
				t.Fatal(err)
			}
			return 0, ErrNotLocal
		}
		return int64(e.TagHash), nil
	})
	if err != nil || got != 12 {
		t.Errorf("offset %d, %v; the lowest that is left is 12", got, err)
	}
}
