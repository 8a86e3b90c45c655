package ledger

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
)

// A body says which message it is, and everything else in it follows from the ledger's seed and that number.
//
//	0       8    16
//	┌───────┬────┬─────────────────────┐
//	│ magic │ id │ pseudo-random bytes │
//	└───────┴────┴─────────────────────┘
const (
	bodyHeader = 16
	bodyMagic  = "torture\n"
)

// bodySizes are what messages weigh in bytes. Most are small, as in life; some span pages and frames.
var bodySizes = []int{64, 200, 1 << 10, 1 << 10, 1 << 10, 4 << 10, 9000, 40 << 10}

// Body returns the body of message id.
func (l *Ledger) Body(id uint64) []byte {
	rng := rand.New(rand.NewPCG(l.seed, id))
	body := make([]byte, bodyHeader+bodySizes[rng.IntN(len(bodySizes))]+rng.IntN(64))
	copy(body, bodyMagic)
	binary.LittleEndian.PutUint64(body[8:], id)
	for i := bodyHeader; i < len(body); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rng.Uint64())
		copy(body[i:], word[:])
	}
	return body
}

// IDOf returns the id that a body claims.
func IDOf(body []byte) (uint64, bool) {
	if len(body) < bodyHeader || string(body[:8]) != bodyMagic {
		return 0, false
	}
	return binary.LittleEndian.Uint64(body[8:]), true
}

// Name returns the message id that message id is sent with; key and tag follow from it as well.
func (l *Ledger) Name(id uint64) string {
	return "T" + strconv.FormatUint(l.seed, 16) + "-" + strconv.FormatUint(id, 10)
}

// Tag returns the tag that message id is sent with.
func Tag(id uint64) string { return "tag" + strconv.FormatUint(id%5, 10) }

// same reports whether a body is that of message id.
func (l *Ledger) same(id uint64, body []byte) bool { return bytes.Equal(body, l.Body(id)) }
