package storelayer

import (
	"context"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
)

// AckMode says when a producer is answered. Readers wait for the watermark in every mode.
type AckMode uint8

// The ack modes.
const (
	AckDurable    AckMode = iota // after the sync
	AckReplicated                // in memory of every in-sync replica; refused until there is replication
	AckLocal                     // in the page cache
)

var ackModeNames = [...]string{"durable", "replicated", "local"}

// String returns the mode as configuration spells it.
func (m AckMode) String() string {
	if int(m) < len(ackModeNames) {
		return ackModeNames[m]
	}
	return fmt.Sprintf("ack-mode-%d", uint8(m))
}

// ParseAckMode is the inverse of String.
func ParseAckMode(s string) (AckMode, error) {
	for i, name := range ackModeNames {
		if s == name {
			return AckMode(i), nil
		}
	}
	return 0, fmt.Errorf("ack mode %q is none of durable, replicated, local", s)
}

// AppendRequest appends messages of one topic in one atomic step. The shard borrows the messages
// and their bytes until Append returns. Queue.Topic, Queue.ID, Topic, Body, BodyCRC, Properties and the
// born fields of each message are the caller's; offset, position and store time are the shard's.
type AppendRequest struct {
	Messages []message.Message
	Ack      AckMode
}

// Appended is where one message of an append came to lie.
type Appended struct {
	Offset    message.Offset
	Position  message.Position
	StoreTime int64 // Unix milliseconds
}

// LeaseRequest asks for messages of a topic on behalf of one consumer of a group.
type LeaseRequest struct {
	Group       string
	Generation  uint32 // of the group
	Topic       message.TopicID
	Queues      []message.QueueID // of this shard, in the order to try them
	Filter      filter.Filter
	Max         int           // messages, 1 … 32
	MaxBytes    int           // of hot bodies; one larger message is leased alone
	Invisible   time.Duration // from the lease on; ignored when AutoRenew
	AutoRenew   bool          // the lease lasts as long as Client lives, three hours at most
	Client      string
	MaxAttempts int       // deliveries before a message is dead-lettered
	Start       StartFrom // where a group begins in a queue that it has never read
}

// StartFrom says where a new group begins in a queue.
type StartFrom struct {
	Policy StartPolicy
	Time   int64 // Unix milliseconds, with StartAtTime
}

// StartPolicy is the kind of a StartFrom.
type StartPolicy uint8

// The start policies.
const (
	StartAuto   StartPolicy = iota // at the beginning if the queue's oldest message is younger than 72 h, else at the end
	StartFirst                     // at the queue's first offset
	StartLast                      // at the queue's end
	StartAtTime                    // at the first message stored at or after Time
)

// Leased is the answer to a lease: the messages, and what a wait for more needs.
type Leased struct {
	Deliveries []Delivery
	Token      uint64 // hand it to Wait; it says what the decision had seen
	Tier       TierState
}

// Delivery is one leased message.
type Delivery struct {
	Handle Handle
	Record []byte // the stored message without its envelope, owned by the caller; nil if only the bucket has it
}

// TierState says where the shard's local bytes begin, so that a reader of cold bytes knows how new a
// manifest it needs.
type TierState struct {
	SealSequence uint64 // of the last seal whose consumeQueue and index are derived; 0 before the first
}

// WaitRequest waits until a lease may find something.
type WaitRequest struct {
	Group      string
	Generation uint32
	Topic      message.TopicID
	Queues     []message.QueueID
	Token      uint64
}

// ChangeRequest moves the end of a lease.
type ChangeRequest struct {
	Handle    Handle
	Invisible time.Duration // from now on; 0 makes the message visible at once
	Uncounted bool          // the delivery does not count as an attempt
}

// FetchRequest reads messages without a lease.
type FetchRequest struct {
	Queue    message.Queue
	Offset   message.Offset
	Max      int
	MaxBytes int // of records; the first record is returned whatever its size
}

// Fetched is the answer to a fetch: hot messages from the offset asked on, in order, without a hole.
type Fetched struct {
	Messages   []message.Located // their bytes are the caller's
	First      message.Offset    // of the queue, in any tier
	FirstLocal message.Offset    // from here on the shard has the bytes; what lies before is in the bucket
	Next       message.Offset    // the queue's end: the offset that the next message will get
	Token      uint64            // hand it to Wait, with a group of the caller's own; it says what the read had seen
	Tier       TierState
}

// QueueState is what a shard knows of one queue.
type QueueState struct {
	Queue         message.Queue
	First         message.Offset // in any tier
	FirstLocal    message.Offset
	Next          message.Offset
	LastStoreTime int64 // Unix milliseconds, 0 without a message
	Tier          TierState
}

// LookupRequest finds messages of a topic by key or message id in the hot index.
type LookupRequest struct {
	Topic message.TopicID
	Kind  message.IndexKind
	Text  string
	Max   int
}

// ResetRequest puts a group to an offset of a queue; it forgets leases and settled messages.
type ResetRequest struct {
	Group      string
	Generation uint32
	Queue      message.Queue
	Offset     message.Offset
}

// GroupState is a group's progress in one queue.
type GroupState struct {
	Group     string
	Queue     message.Queue
	Committed message.Offset // everything before it is settled
	Next      message.Offset // the queue's end
	Ready     int64          // messages that could be leased now
	InFlight  int64          // messages under a lease that has not ended
	Settled   int64          // settled messages at or above Committed
}

// Shard is one shard of the store layer, in this process or behind store v1. Every method may be called
// from any goroutine. A context bounds the wait for admission; what was admitted is answered with its
// outcome, or with ErrUnknown.
type Shard interface {
	ID() message.ShardID

	// Append stores messages and returns their places in the order of the request. It fails with
	// ErrOverloaded, ErrDiskMark or ErrClosed if nothing was stored, with ErrUnknown if that is not known.
	Append(ctx context.Context, req *AppendRequest) ([]Appended, error)

	// Lease hands messages to a consumer: due retries first, then new ones. It does not wait, neither for
	// messages nor for the sync of its record; no message is no error.
	Lease(ctx context.Context, req *LeaseRequest) (Leased, error)
	// Wait returns nil once a lease that follows may find something, and the context's error if it ends first.
	Wait(ctx context.Context, req *WaitRequest) error
	// Release gives leases back at once as if they had not been: no attempt is counted. Dead handles are skipped.
	Release(ctx context.Context, handles []Handle) error
	// Ack settles messages for their group; nil or ErrInvalidHandle for each handle, in order, after the sync.
	// Acking a settled message is no error.
	Ack(ctx context.Context, handles []Handle) ([]error, error)
	// Change moves the end of a lease and returns a handle that is good beside the old one.
	Change(ctx context.Context, req *ChangeRequest) (Handle, error)
	// DeadLetter moves a message to the dead-letter topic of its group. A message that has gone there is no error.
	DeadLetter(ctx context.Context, h Handle) error
	// Alive reports that clients of this proxy live; a client without a report for 30 s has ended.
	Alive(ctx context.Context, clients []string) error
	// Gone ends a client: its auto-renewed leases are visible again at once.
	Gone(ctx context.Context, client string) error

	// Fetch reads hot records. An offset outside the queue is an *OffsetOutOfRangeError; an offset whose bytes
	// lie in the bucket only gives no messages and FirstLocal above it.
	Fetch(ctx context.Context, req *FetchRequest) (Fetched, error)
	// Queue returns what the shard knows of a queue; a queue that never had a message is [0, 0).
	Queue(ctx context.Context, q message.Queue) (QueueState, error)
	// OffsetAt returns the first local offset stored at or after t (Unix ms); Next if there is none. If the
	// answer is FirstLocal an older message in the bucket may be the right one.
	OffsetAt(ctx context.Context, q message.Queue, t int64) (message.Offset, QueueState, error)
	// Lookup finds messages in the hot index, newest first.
	Lookup(ctx context.Context, req *LookupRequest) ([]message.Located, error)

	// Commit records a group's offset of a queue, as a client that pulls does. It never goes back.
	Commit(ctx context.Context, req *ResetRequest) error
	// Committed returns a group's offset of a queue or ErrOffsetNotFound.
	Committed(ctx context.Context, group string, generation uint32, q message.Queue) (message.Offset, error)
	// Reset puts a group to an offset, forward or back, and ends its leases in the queue.
	Reset(ctx context.Context, req *ResetRequest) error
	// Groups returns the progress of a group in every queue of the shard that it has read; all groups for "".
	Groups(ctx context.Context, group string) ([]GroupState, error)
	// DeleteGroup forgets a generation of a group; DeleteTopic ends a topic id for ever.
	DeleteGroup(ctx context.Context, group string, generation uint32) error
	DeleteTopic(ctx context.Context, topic message.TopicID) error
}
