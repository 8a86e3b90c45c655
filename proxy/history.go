package proxy

import (
	"context"

	"github.com/stratamq/stratamq/message"
)

// History reads what only the bucket has. Every method is told the sequence of the last seal that the
// shard reported, and must have seen at least that one before it answers.
type History interface {
	// Read returns messages of a queue from an offset on, in order and without a hole, at most limit and, beyond
	// the first, maxBytes of them. Their bytes do not change, and must not be changed. It fails with [ErrGone] if
	// retention has dropped the offset; an offset beyond what is sealed gives no messages.
	Read(ctx context.Context, shard message.ShardID, q message.Queue, from message.Offset, limit, maxBytes int, minSealSequence uint64) ([]message.Located, error)
	// OffsetAt returns the first sealed offset stored at or after t (Unix milliseconds), false if there is none.
	OffsetAt(ctx context.Context, shard message.ShardID, q message.Queue, t int64, minSealSequence uint64) (message.Offset, bool, error)
	// Lookup finds sealed messages of a topic on a shard by key or message id, newest first.
	Lookup(ctx context.Context, shard message.ShardID, topic message.TopicID, kind message.IndexKind, text string, limit int) ([]message.Located, error)
}
