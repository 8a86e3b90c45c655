package tiering

import "hash/crc32"

// JoinChecksums returns the CRC32C of two pieces one behind the other from that of each; n is the length of the second one
// in bytes. Bytes whose checksum is known need not be read again: it takes less than a microsecond.
func JoinChecksums(first, second uint32, n int) uint32 {
	// A checksum is a polynomial modulo that of Castagnoli, and n bytes behind it multiply it by x to the power of 8n.
	for k := 3; n > 0; n, k = n>>1, k+1 {
		if n&1 != 0 {
			first = mulChecksum(squares[k], first)
		}
	}
	return first ^ second
}

// squares has x to the power of 2^k at k, enough for lengths of 63 bits.
var squares = func() (s [66]uint32) {
	s[0] = 1 << 30 // the highest bit is x^0
	for k := 1; k < len(s); k++ {
		s[k] = mulChecksum(s[k-1], s[k-1])
	}
	return s
}()

// mulChecksum multiplies two polynomials modulo that of Castagnoli.
func mulChecksum(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		product ^= b & -(a >> 31)
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
