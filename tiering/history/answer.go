package history

import (
	"bytes"

	"github.com/stratamq/stratamq/message"
)

// maxPinned is how many times its own bytes an answer may keep in memory. Messages are handed out as parts of what was
// fetched, which does not change; but a few of them would keep a whole range, and are copied out of it.
const maxPinned = 8

// answer collects the messages of one read.
type answer struct {
	messages []message.Located
	bytes    int // of the messages, envelopes not included
	parts    []part
}

// part is what one block gave: messages [first, end) of the answer.
type part struct {
	block      *block
	region     []byte // theirs, one behind the other, envelopes included
	first, end int
}

// take adds messages of a block as [block.take] does, and returns how many.
func (a *answer) take(b *block, offset message.Offset, n, maxBytes int) (int, error) {
	if a.messages == nil {
		// About as many as will fit, if they are all like those of this block.
		like := maxBytes / (len(b.records)/b.place.Count + 1)
		a.messages = make([]message.Located, 0, min(n, like+like/8+1, maxExpected))
	}
	first := len(a.messages)
	got, region, err := b.take(a.messages, offset, n, maxBytes)
	if err != nil {
		return 0, err
	}
	n = len(got) - first
	if n > 0 {
		a.parts = append(a.parts, part{block: b, region: region, first: first, end: len(got)})
	}
	a.messages = got
	a.bytes += len(region) - n*message.EnvelopeLen
	return n, nil
}

// maxExpected bounds how many messages there is room for from the start.
const maxExpected = 4096

// release copies messages that would keep too much in memory, and returns all.
func (a *answer) release() []message.Located {
	for parts := a.parts; len(parts) > 0; {
		n, bytes := a.together(parts)
		if int64(bytes)*maxPinned < parts[0].block.pins {
			for _, p := range parts[:n] {
				a.copyOut(p)
			}
		}
		parts = parts[n:]
	}
	return a.messages
}

// together returns how many parts from the first on lie in the same memory, and their bytes.
func (a *answer) together(parts []part) (n, bytes int) {
	within := parts[0].block.within
	for n < len(parts) && (n == 0 || within != nil && parts[n].block.within == within) {
		bytes += len(parts[n].region)
		n++
	}
	return n, bytes
}

// copyOut gives the messages of a part memory of their own, all in one piece.
func (a *answer) copyOut(p part) {
	slab, end := bytes.Clone(p.region), 0
	for i := p.first; i < p.end; i++ {
		start := end + message.EnvelopeLen
		end = start + len(a.messages[i].Stored)
		a.messages[i].Stored = slab[start:end:end]
	}
}
