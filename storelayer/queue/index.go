package queue

import (
	"encoding/binary"
	"sync"

	"github.com/stratamq/stratamq/message"
)

// The postings of a segment stand in buckets by the upper bits of their hash.
const (
	bucketBits = 10
	buckets    = 1 << bucketBits
	postingLen = 12 // hash u64, distance from the segment's base u32
)

func bucketOf(hash uint64) int { return int(hash >> (64 - bucketBits)) }

// postings is the index of a segment in memory. A bucket's postings stand in log order; a segment of 1 GiB with two
// keys per message of 1 KiB has about two thousand in each.
type postings struct {
	mu      sync.RWMutex
	buckets [buckets][]byte // under mu
	count   int             // under mu
}

func (p *postings) add(hash uint64, distance uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bucketOf(hash)
	p.buckets[b] = binary.LittleEndian.AppendUint64(p.buckets[b], hash)
	p.buckets[b] = binary.LittleEndian.AppendUint32(p.buckets[b], distance)
	p.count++
}

// lookup appends the positions of a hash, newest first, until dst has limit.
func (p *postings) lookup(dst []message.Position, base message.Position, hash uint64, limit int) []message.Position {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return searchBucket(dst, p.buckets[bucketOf(hash)], base, hash, limit)
}

// searchBucket walks a bucket from its end: in memory it is in log order, in a file by hash and position.
func searchBucket(dst []message.Position, bucket []byte, base message.Position, hash uint64, limit int) []message.Position {
	for i := len(bucket) - postingLen; i >= 0 && len(dst) < limit; i -= postingLen {
		if binary.LittleEndian.Uint64(bucket[i:]) == hash {
			dst = append(dst, base+message.Position(binary.LittleEndian.Uint32(bucket[i+8:])))
		}
	}
	return dst
}
