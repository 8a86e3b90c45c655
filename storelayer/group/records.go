package group

import (
	"github.com/stratamq/stratamq/message"
)

// Key names a generation of a group. A group that was deleted and made anew has another generation.
type Key struct {
	Name       string // at most 255 bytes
	Generation uint32
}

// Reason says why messages were settled.
type Reason uint8

// The reasons. The numbers are part of the disk format.
const (
	Acked    Reason = 1 // by a consumer
	Filtered Reason = 2 // did not match, and nobody was told
	Expired  Reason = 3 // retention has passed them
)

// CommitKind says how an offset was set.
type CommitKind uint8

// The commit kinds. The numbers are part of the disk format.
const (
	CommitInit  CommitKind = 1 // the group begins to read a queue
	CommitSet   CommitKind = 2 // a client that pulls has committed; never goes back
	CommitReset CommitKind = 3 // an operator put the group there, forward or back
)

// Run is a half-open range of offsets.
type Run struct {
	First, End message.Offset
}

// LeaseRun is a run of offsets that were leased together.
type LeaseRun struct {
	First    message.Offset
	Count    uint32 // 1 or more
	Attempt  uint16 // of each message, from 1
	OrderKey uint64 // of each message in a group that keeps order, else 0
}

// LeaseRecord says that messages were handed to a consumer.
type LeaseRecord struct {
	Key
	Queue    message.Queue
	Epoch    message.Epoch
	Lease    uint64 // number, unique in its epoch
	Deadline int64  // Unix milliseconds; with Auto the latest possible end
	Auto     bool   // renewed as long as its client lives
	Client   string
	Runs     []LeaseRun // in the order in which they were leased
}

// SettleRecord says that messages are done with.
type SettleRecord struct {
	Key
	Queue  message.Queue
	Reason Reason
	Runs   []Run // sorted, disjoint, none empty
}

// VisibilityItem is a lease whose end moved.
type VisibilityItem struct {
	Offset    message.Offset
	Epoch     message.Epoch // of the lease
	Lease     uint64
	Deadline  int64  // Unix milliseconds
	Attempt   uint16 // of the lease, for one whose own record was lost
	Uncounted bool   // the delivery does not count as an attempt
}

// VisibilityRecord moves the ends of leases: change of invisible time, nack, release, client gone.
type VisibilityRecord struct {
	Key
	Queue message.Queue
	Items []VisibilityItem
}

// CommitRecord sets a group's offset of a queue.
type CommitRecord struct {
	Key
	Queue  message.Queue
	Kind   CommitKind
	Offset message.Offset
	Epoch  message.Epoch // with CommitReset: leases of the queue up to this epoch and number are dead
	Lease  uint64
}

// DeadLetterRecord says that a message left its queue; its copy stands in the same frame.
type DeadLetterRecord struct {
	Key
	Queue  message.Queue
	Offset message.Offset
	Dead   message.Queue // where the copy went
}

// LifeRecord is the body of the records that begin and end a generation of a group.
type LifeRecord struct {
	Key
}

// EpochStartRecord says that a leader began, and what it found.
type EpochStartRecord struct {
	Epoch     message.Epoch
	LastEpoch message.Epoch // the last epoch recovered; 0 if the log was new
	LastLease uint64        // the highest lease number recovered of that epoch
}

// TopicDeleteRecord says that a topic id ended on this shard; the id is the envelope's.
type TopicDeleteRecord struct{}
