package meta

import (
	"fmt"
	"strings"

	"github.com/stratamq/stratamq/message"
)

// ClusterKey is the only key of [BucketCluster].
const ClusterKey = "cluster"

// ShardKey names a shard in [BucketShards] and [BucketManifests].
func ShardKey(shard message.ShardID) string { return shard.String() }

// ConsumeQueueKey names part part of the packed consumeQueue value of the sealed segment at base.
func ConsumeQueueKey(shard message.ShardID, base message.Position, part int) string {
	return segmentKey(shard, base, part)
}

// IndexKey names part part of the fences of the key postings of the sealed segment at base.
func IndexKey(shard message.ShardID, base message.Position, part int) string {
	return segmentKey(shard, base, part)
}

func segmentKey(shard message.ShardID, base message.Position, part int) string {
	return fmt.Sprintf("%s/%s/%04d", shard, base, part)
}

const upperHex = "0123456789ABCDEF"

// EscapeKey makes of any text a key that NATS takes: letters, digits, "-", "_" and "/" stand for
// themselves, every other byte becomes "=" and two upper-case hexadecimal digits, and the empty
// text becomes "=". Different texts have different keys.
func EscapeKey(text string) string {
	if text == "" {
		return "="
	}
	n := 0
	for i := range len(text) {
		if !plainKeyByte(text[i]) {
			n++
		}
	}
	if n == 0 {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 2*n)
	for i := range len(text) {
		c := text[i]
		if plainKeyByte(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// UnescapeKey returns the text that EscapeKey made key of. It fails with [ErrDamaged] for what
// EscapeKey never returns.
func UnescapeKey(key string) (string, error) {
	if key == "=" {
		return "", nil
	}
	if key == "" {
		return "", fmt.Errorf("%w: empty escaped key", ErrDamaged)
	}
	var b strings.Builder
	b.Grow(len(key))
	for i := 0; i < len(key); i++ {
		c := key[i]
		if plainKeyByte(c) {
			b.WriteByte(c)
			continue
		}
		if c != '=' || i+2 >= len(key) {
			return "", fmt.Errorf("%w: escaped key %q at byte %d", ErrDamaged, key, i)
		}
		hi, lo := strings.IndexByte(upperHex, key[i+1]), strings.IndexByte(upperHex, key[i+2])
		if hi < 0 || lo < 0 || plainKeyByte(byte(hi<<4|lo)) {
			return "", fmt.Errorf("%w: escaped key %q at byte %d", ErrDamaged, key, i)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

func plainKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}
