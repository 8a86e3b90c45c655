package offload

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// Budget bounds the bytes that the seals of all shards of a process hold in memory.
type Budget struct {
	bytes int64
	sem   *semaphore.Weighted
}

// NewBudget returns a budget of so many bytes. A seal that needs more than all of it takes all of it.
func NewBudget(bytes int64) *Budget {
	return &Budget{bytes: bytes, sem: semaphore.NewWeighted(bytes)}
}

// acquire waits for n bytes. A nil budget has no bound.
func (b *Budget) acquire(ctx context.Context, n int64) (release func(), err error) {
	if b == nil {
		return func() {}, nil
	}
	n = min(n, b.bytes)
	if err := b.sem.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { b.sem.Release(n) }, nil
}
