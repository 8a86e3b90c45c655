package history

import (
	"context"
	"sync/atomic"

	"github.com/stratamq/stratamq/tiering"
)

// Metrics are counts since the history was made.
type Metrics struct {
	Requests     uint64 // to the bucket
	RequestBytes uint64 // of ranges that were fetched
	Messages     uint64 // that were returned
	MessageBytes uint64

	BlockHits      uint64 // blocks found decoded
	WindowHits     uint64 // blocks found in a range read before
	BlockMisses    uint64 // blocks that had to be fetched
	ReadAheads     uint64 // ranges fetched before anybody asked
	DamagedFetches uint64 // fetched bytes that failed their checksum and were fetched again
	DerivedValues  uint64 // consumeQueue and index values that the metadata store did not give
	Refreshes      uint64 // looks at the manifest
	MissingObjects uint64 // objects that should be there and are not: an alarm
}

// HitRate returns which part of the blocks needed no request, 0 to 1.
func (m Metrics) HitRate() float64 {
	hits := m.BlockHits + m.WindowHits
	if hits+m.BlockMisses == 0 {
		return 0
	}
	return float64(hits) / float64(hits+m.BlockMisses)
}

type counters struct {
	requests, requestBytes, messages, messageBytes atomic.Uint64
	blockHits, windowHits, blockMisses, readAheads atomic.Uint64
	damaged, derived, refreshes, missing           atomic.Uint64
}

// Metrics returns the counts so far.
func (h *History) Metrics() Metrics {
	c := &h.counters
	return Metrics{
		Requests: c.requests.Load(), RequestBytes: c.requestBytes.Load(), Messages: c.messages.Load(), MessageBytes: c.messageBytes.Load(),
		BlockHits: c.blockHits.Load(), WindowHits: c.windowHits.Load(), BlockMisses: c.blockMisses.Load(), ReadAheads: c.readAheads.Load(),
		DamagedFetches: c.damaged.Load(), DerivedValues: c.derived.Load(), Refreshes: c.refreshes.Load(), MissingObjects: c.missing.Load(),
	}
}

// countingStore counts reads.
type countingStore struct {
	tiering.ObjectStore

	counters *counters
}

// GetRange implements [tiering.ObjectStore].
func (s *countingStore) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	s.counters.requests.Add(1)
	err := s.ObjectStore.GetRange(ctx, key, dst, off)
	if err == nil {
		s.counters.requestBytes.Add(uint64(len(dst)))
	}
	return err
}

// Head implements [tiering.ObjectStore].
func (s *countingStore) Head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	s.counters.requests.Add(1)
	return s.ObjectStore.Head(ctx, key)
}
