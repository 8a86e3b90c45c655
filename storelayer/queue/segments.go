package queue

import (
	"fmt"
	"io"

	"github.com/stratamq/stratamq/message"
)

// Roll says that the log goes on in a segment that starts at base.
func (t *Table) Roll(base message.Position) error {
	if base <= t.active.base {
		return fmt.Errorf("%w: segment at %s behind the one at %s", message.ErrCorrupt, base, t.active.base)
	}
	t.active = &segment{base: base, index: &postings{}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.segments = append(t.mu.segments, t.active)
	return nil
}

// Segments returns the local segments, oldest first; the last one is active.
func (t *Table) Segments() []SegmentState {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]SegmentState, 0, len(t.mu.segments))
	for _, s := range t.mu.segments {
		out = append(out, SegmentState{Base: s.base, InFile: s.index == nil})
	}
	return out
}

// segment returns the segment that starts at base, and whether it is the active one.
func (t *Table) segment(base message.Position) (s *segment, active bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i, s := range t.mu.segments {
		if s.base == base {
			return s, i == len(t.mu.segments)-1
		}
	}
	return nil, false
}

// each calls do for every queue, with no lock held.
func (t *Table) each(do func(message.Queue, *tail)) {
	type named struct {
		q  message.Queue
		tl *tail
	}
	var all []named
	for i := range t.stripes {
		s := &t.stripes[i]
		all = all[:0]
		s.mu.RLock()
		for q, tl := range s.queues {
			all = append(all, named{q, tl})
		}
		s.mu.RUnlock()
		for _, n := range all {
			do(n.q, n.tl)
		}
	}
}

// WriteSegment writes the file of a full segment whose entries are in memory, and returns its length. The caller makes the
// file visible whole, opens it and attaches it.
func (t *Table) WriteSegment(base message.Position, w io.Writer) (int64, error) {
	s, active := t.segment(base)
	if s == nil || active {
		return 0, fmt.Errorf("segment at %s is not full", base)
	}
	t.mu.RLock()
	index := s.index
	t.mu.RUnlock()
	if index == nil {
		return 0, fmt.Errorf("segment at %s is in a file already", base)
	}
	b := &Builder{base: base, queues: make(map[message.Queue]*built), index: index}
	t.each(func(q message.Queue, tl *tail) {
		tl.mu.RLock()
		defer tl.mu.RUnlock()
		for i := range tl.parts {
			if p := &tl.parts[i]; p.segment == s {
				b.queues[q] = &built{first: p.first, entries: p.entries}
			}
		}
	})
	return b.WriteTo(w)
}

// Attach puts a segment's file in the place of its entries in memory. In recovery, oldest segment first, it gives the table
// the entries of a segment that was just rolled to; Roll follows. A file that does not fit is message.ErrCorrupt;
// after an error the table is as before.
func (t *Table) Attach(f *SegmentFile) error {
	s, active := t.segment(f.base)
	switch {
	case s == nil:
		return fmt.Errorf("%w: no segment starts at %s", message.ErrCorrupt, f.base)
	case s.file != nil:
		return fmt.Errorf("segment at %s is in a file already", f.base)
	case active && s.used:
		return fmt.Errorf("segment at %s is not full", f.base)
	}
	directory := make([]dirEntry, 0, f.queues)
	for d, err := range f.directory() {
		if err == nil {
			err = t.fits(s, d, active)
		}
		if err != nil {
			return err
		}
		directory = append(directory, d)
	}
	// The file is set before any part points into it: a reader sees it behind the lock of its queue.
	s.file = f
	for _, d := range directory {
		t.attach(s, d, active)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s.index = nil
	return nil
}

// fits reports whether a file's part of a queue agrees with the table. What agrees goes on to: the entries of a
// full segment never change, and in recovery nobody else is there.
func (t *Table) fits(s *segment, d dirEntry, recovery bool) error {
	tl := t.tail(d.queue)
	if tl == nil {
		return nil
	}
	tl.mu.RLock()
	defer tl.mu.RUnlock()
	if p := tl.part(s); p != nil {
		if p.first != d.first || p.count != d.count {
			return fmt.Errorf("%w: file has [%d, %d) of queue %s, the table [%d, %d)",
				message.ErrCorrupt, d.first, d.first+message.Offset(d.count), d.queue, p.first, p.end())
		}
		return nil
	}
	if !recovery {
		return nil
	}
	if end, only := tl.localEnd(d.first); d.first > end || only && d.first != end {
		return fmt.Errorf("%w: offset %d of queue %s follows %d", message.ErrCorrupt, d.first, d.queue, end-1)
	}
	return nil
}

// attach makes a queue read its entries of a segment from the file.
func (t *Table) attach(s *segment, d dirEntry, recovery bool) {
	tl := t.tail(d.queue)
	if tl == nil {
		if !recovery || t.isDropped(d.queue.Topic, s.base) {
			return // the topic was deleted since
		}
		tl = t.makeTail(d.queue)
	}
	tl.mu.Lock()
	defer tl.mu.Unlock()
	if p := tl.part(s); p != nil {
		p.entries, p.firstEntry = nil, d.firstEntry
		return
	}
	if !recovery {
		return
	}
	if len(tl.parts) == 0 && tl.current == 0 && tl.next == 0 {
		tl.first = d.first
	}
	p := part{segment: s, first: d.first, count: d.count, firstEntry: d.firstEntry}
	tl.parts = append(tl.parts, p)
	tl.next = max(tl.next, p.end())
}

// part returns what a segment holds of the queue, nil if nothing; tl.mu is held.
func (tl *tail) part(s *segment) *part {
	for i := range tl.parts {
		if tl.parts[i].segment == s {
			return &tl.parts[i]
		}
	}
	return nil
}

// Drop forgets the oldest local segment, so that the first local offsets move, and returns its file, which no reader uses any
// longer; nil if its entries were in memory. The active segment is not dropped.
func (t *Table) Drop(base message.Position) (*SegmentFile, error) {
	t.mu.Lock()
	if len(t.mu.segments) < 2 || t.mu.segments[0].base != base {
		t.mu.Unlock()
		return nil, fmt.Errorf("segment at %s is not the oldest full one", base)
	}
	s := t.mu.segments[0]
	t.mu.segments = append(t.mu.segments[:0:0], t.mu.segments[1:]...)
	for topic, at := range t.mu.dropped {
		if at <= t.mu.segments[0].base {
			delete(t.mu.dropped, topic)
		}
	}
	t.mu.Unlock()
	t.each(func(_ message.Queue, tl *tail) {
		tl.mu.Lock()
		defer tl.mu.Unlock()
		if len(tl.parts) > 0 && tl.parts[0].segment == s {
			// A copy, so that a queue at rest keeps no array for parts that are gone.
			tl.parts = append([]part(nil), tl.parts[1:]...)
		}
	})
	return s.file, nil
}
