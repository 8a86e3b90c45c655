package tiering

import (
	"math/rand/v2"
	"testing"
)

func TestJoinChecksums(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	for i := range 300 {
		whole := b[:random.IntN(1<<(i%21))]
		cut := random.IntN(len(whole) + 1)
		first, second := Checksum(whole[:cut]), Checksum(whole[cut:])
		if got, want := JoinChecksums(first, second, len(whole)-cut), Checksum(whole); got != want {
			t.Fatalf("%d and %d bytes: CRC32C %08x, want %08x", cut, len(whole)-cut, got, want)
		}
	}
}
