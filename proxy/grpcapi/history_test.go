package grpcapi

import (
	"context"
	"sync/atomic"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy/internal/shardfake"
)

// fakeHistory is a bucket that has what a shard in memory has trimmed.
type fakeHistory struct {
	shard *shardfake.Shard
	reads atomic.Int64
	fail  atomic.Pointer[error]
}

func (h *fakeHistory) failure() error {
	if err := h.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (h *fakeHistory) Read(_ context.Context, _ message.ShardID, q message.Queue, from message.Offset, limit, _ int, _ uint64) ([]message.Located, error) {
	h.reads.Add(1)
	if err := h.failure(); err != nil {
		return nil, err
	}
	return h.shard.Read(q, from, limit), nil
}

func (h *fakeHistory) OffsetAt(_ context.Context, _ message.ShardID, q message.Queue, t int64, _ uint64) (message.Offset, bool, error) {
	offset, ok := h.shard.ColdAt(q, t)
	return offset, ok, h.failure()
}

func (h *fakeHistory) Lookup(context.Context, message.ShardID, message.TopicID, message.IndexKind, string, int) ([]message.Located, error) {
	return nil, h.failure()
}
