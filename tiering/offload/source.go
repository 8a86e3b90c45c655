package offload

import (
	"context"
	"iter"
	"time"

	"github.com/stratamq/stratamq/message"
)

// Source is the shard as the offloader needs it. Its methods are called by one goroutine at a time, and any of them may
// be called again with the same arguments: after an error, or by the next start after a crash.
type Source interface {
	// Shard returns the shard's number.
	Shard() message.ShardID

	// Epoch returns the leader's epoch, which the shard began before it made the offloader. It does not change.
	Epoch() message.Epoch

	// Sealable returns the local segments that take no more appends and whose bytes are all at or below the
	// durable watermark, oldest first, one beginning where the one before ends. Those that are sealed already
	// are among them until they are trimmed. That an old segment is closed though it is not full is the
	// shard's decision.
	Sealable(ctx context.Context) ([]Segment, error)

	// Records yields the messages with an offset of the local segment at base, in log order, each checked by
	// its frame's checksum. State changes, half messages and timers are not among them. It reads by pread. The
	// record's bytes and keys are valid until the next one. The first error ends the sequence.
	Records(ctx context.Context, base message.Position) iter.Seq2[Record, error]

	// ReadAt fills dst with the log's bytes from position at on, all of which lie in one local segment, by pread.
	ReadAt(ctx context.Context, dst []byte, at message.Position) error

	// Snapshot returns a snapshot of everything derived whose replay starts at or behind end; it waits until
	// there can be one. The bytes are the caller's.
	Snapshot(ctx context.Context, end message.Position) (Snapshot, error)

	// Sealed says that a seal is finished up to its consumeQueue and index in the metadata store: from now on
	// the shard may answer with its sequence. Sequences grow; after a start the newest one is said again.
	Sealed(ctx context.Context, seal Seal) error

	// Trim removes the oldest local segment, which begins at base and is sealed. It first sees to it that a
	// local snapshot covers the segment, and that readers are sent to the bucket. A segment that is gone
	// already is no error.
	Trim(ctx context.Context, base message.Position) error
}

// Segment is a local segment of a shard's log that will not change any more.
type Segment struct {
	ID      message.SegmentID
	Base    message.Position // the log's bytes [Base, End)
	End     message.Position
	Bytes   int64     // that it takes on the local disk
	Created time.Time // when it was begun
}

// Record is a message of the log that has its offset.
type Record struct {
	Queue     message.Queue
	Offset    message.Offset
	StoreTime int64         // milliseconds since 1970
	Entry     message.Entry // position and size are those of the record in the log
	Keys      []uint64      // [message.IndexKey] of its message id and of each of its keys
	Bytes     []byte        // whole, envelope included
}

// Snapshot is a shard's derived state at a moment.
type Snapshot struct {
	ReplayStart message.Position // everything below it is in the snapshot
	Bytes       []byte
}

// Seal says which part of the log is in the bucket.
type Seal struct {
	Sequence uint64           // of the manifest entry, from 1
	Base     message.Position // the entry's part of the log, [Base, End)
	End      message.Position
}
