package history

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/ristretto/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/manifest"
	"github.com/stratamq/stratamq/tiering/segment"
)

var (
	// ErrGone says that an offset is past its retention: the queue begins behind it.
	ErrGone = errors.New("offset is past its retention")

	// ErrBehind says that the manifest does not reach the seal that was asked for yet. It passes.
	ErrBehind = errors.New("the manifest does not reach that seal")

	// ErrClosed says that the history has been closed.
	ErrClosed = errors.New("history is closed")
)

// History reads what has been sealed.
type History struct {
	opts     Options
	store    *countingStore
	counters counters

	blocks      *ristretto.Cache[uint64, *block]
	windows     *windowCache
	directories *lru[objectID, *segment.Reader]
	runs        *lru[segmentID, []manifest.Run]
	indexes     *lru[segmentID, []manifest.ObjectIndex]
	queues      *lru[queueID, *queueRuns]
	streams     *lru[streamID, *stream]

	flights  singleflight.Group
	inFlight *semaphore.Weighted
	rate     *limiter

	mu struct {
		sync.Mutex
		shards map[message.ShardID]*shardManifest
		closed bool
	}
	background sync.WaitGroup
}

// segmentID names a sealed segment by its manifest entry.
type segmentID struct {
	shard    message.ShardID
	sequence uint64
}

// objectID names one of its objects.
type objectID struct {
	segmentID

	number int // among the entry's objects
}

// queueID names a queue of a shard. A queue never changes its shard, but a caller may be wrong about it.
type queueID struct {
	shard message.ShardID
	queue message.Queue
}

// New returns a history over a bucket.
func New(opts Options) (*History, error) {
	if err := opts.Config.Validate(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	if opts.Store == nil || opts.Meta == nil || opts.Clock == nil || opts.Logger == nil {
		return nil, errors.New("history: a part is missing")
	}
	c := opts.Config
	blocks, err := ristretto.NewCache(&ristretto.Config[uint64, *block]{
		// Ten times the blocks that fit, as ristretto advises; they are seldom smaller than 64 KiB.
		NumCounters: max(10*c.BlockCache/(64<<10), 1000), MaxCost: c.BlockCache, BufferItems: 64,
	})
	if err != nil {
		return nil, fmt.Errorf("history: make block cache: %w", err)
	}
	opts.Logger = opts.Logger.With("component", "history")
	h := &History{
		opts: opts, blocks: blocks, inFlight: semaphore.NewWeighted(c.InFlight), rate: newLimiter(opts.Clock, c.Rate),
		windows:     newWindowCache(c.WindowCache),
		directories: newLRU[objectID, *segment.Reader](c.DirectoryCache),
		runs:        newLRU[segmentID, []manifest.Run](c.DirectoryCache),
		indexes:     newLRU[segmentID, []manifest.ObjectIndex](c.DirectoryCache),
		queues:      newLRU[queueID, *queueRuns](c.DirectoryCache),
		streams:     newLRU[streamID, *stream](c.StreamCache),
	}
	h.store = &countingStore{ObjectStore: opts.Store, counters: &h.counters}
	h.mu.shards = make(map[message.ShardID]*shardManifest)
	return h, nil
}

// Close waits for what is read ahead and frees the caches. Calls after it fail with [ErrClosed]. It is idempotent.
func (h *History) Close() error {
	h.mu.Lock()
	already := h.mu.closed
	h.mu.closed = true
	h.mu.Unlock()
	h.background.Wait()
	if !already {
		h.blocks.Close()
	}
	return nil
}

// shard returns the manifest of a shard.
func (h *History) shard(id message.ShardID) (*shardManifest, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return nil, ErrClosed
	}
	m := h.mu.shards[id]
	if m == nil {
		m = &shardManifest{id: id, loading: make(chan struct{}, 1)}
		h.mu.shards[id] = m
	}
	return m, nil
}

// spawn runs fn in the background, unless the history is being closed.
func (h *History) spawn(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.mu.closed {
		h.background.Go(fn)
	}
}

// share runs fn once for all who ask for key at the same time. Fn does not end with the first of them: its context
// ends after the request timeout.
func share[T any](ctx context.Context, h *History, key string, fn func(context.Context) (T, error)) (T, error) {
	result := h.flights.DoChan(key, func() (any, error) {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.Config.RequestTimeout)
		defer cancel()
		return fn(detached)
	})
	var zero T
	select {
	case r := <-result:
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(T), nil
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}
