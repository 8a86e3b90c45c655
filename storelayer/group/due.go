package group

import (
	"slices"

	"github.com/stratamq/stratamq/message"
)

// dueHeap finds the deliveries whose lease has ended. An entry is looked at when its instant comes and put back if
// the lease lasts longer by then: a renewal costs nothing. Each delivery has one valid entry, at or before
// its end; the others are left where they are until they come up or outnumber the valid ones.
type dueHeap struct {
	entries []dueEntry               // a binary heap by (at, offset)
	at      map[message.Offset]int64 // the instant of each valid entry
}

type dueEntry struct {
	at     int64 // Unix milliseconds
	offset message.Offset
}

func (e dueEntry) less(o dueEntry) bool {
	return e.at < o.at || e.at == o.at && e.offset < o.offset
}

// schedule makes sure that o is looked at by the instant at.
func (h *dueHeap) schedule(o message.Offset, at int64) {
	if old, ok := h.at[o]; ok && old <= at {
		return
	}
	h.at[o] = at
	h.entries = append(h.entries, dueEntry{at: at, offset: o})
	h.up(len(h.entries) - 1)
	if len(h.entries) > 2*len(h.at)+64 {
		h.compact()
	}
}

// forget takes o out.
func (h *dueHeap) forget(o message.Offset) { delete(h.at, o) }

// top returns the earliest valid entry.
func (h *dueHeap) top() (dueEntry, bool) {
	for len(h.entries) > 0 {
		e := h.entries[0]
		if at, ok := h.at[e.offset]; ok && at == e.at {
			return e, true
		}
		h.drop()
	}
	return dueEntry{}, false
}

// pop takes out the entry that top returned.
func (h *dueHeap) pop() {
	delete(h.at, h.entries[0].offset)
	h.drop()
}

func (h *dueHeap) drop() {
	last := len(h.entries) - 1
	h.entries[0] = h.entries[last]
	h.entries = h.entries[:last]
	h.down(0)
}

func (h *dueHeap) clear() {
	h.entries = nil
	clear(h.at)
}

func (h *dueHeap) compact() {
	h.entries = slices.DeleteFunc(h.entries, func(e dueEntry) bool {
		at, ok := h.at[e.offset]
		return !ok || at != e.at
	})
	for i := len(h.entries)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *dueHeap) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.entries[i].less(h.entries[parent]) {
			return
		}
		h.entries[i], h.entries[parent] = h.entries[parent], h.entries[i]
		i = parent
	}
}

func (h *dueHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.entries) {
			return
		}
		if child+1 < len(h.entries) && h.entries[child+1].less(h.entries[child]) {
			child++
		}
		if !h.entries[child].less(h.entries[i]) {
			return
		}
		h.entries[i], h.entries[child] = h.entries[child], h.entries[i]
		i = child
	}
}
