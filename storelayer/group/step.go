package group

import (
	"github.com/stratamq/stratamq/message"
)

// Moment is what a decision may know of the world around its group.
type Moment struct {
	Now   int64         // Unix milliseconds
	Epoch message.Epoch // of the leader that decides

	// Horizon says when the auto-renewed leases of a client end, in Unix milliseconds; see [Clients.Horizon].
	// Nil means that every client has ended.
	Horizon func(client string) int64

	// End returns the end of a queue: the offset that its next message will get. A handle at or beyond it is invalid.
	// Nil means that the caller has checked.
	End func(message.Queue) message.Offset
}

// Step is what a decision wants in the log, in one atomic step.
type Step struct {
	ID      uint64           // for Abort; 0 if there is nothing to append
	Records []message.Record // in this order; the caller's, but their bodies must stay unchanged
}

// Empty reports whether there is nothing to append.
func (s Step) Empty() bool { return len(s.Records) == 0 }

// LeaseInput asks for messages of one queue.
type LeaseInput struct {
	Queue       message.Queue
	Start       message.Offset            // where the group begins if it does not know the queue; see [Group.Knows]
	First       message.Offset            // of the queue, in any tier: what lies below has expired
	Next        message.Offset            // the queue's end
	Max         int                       // messages, at most [MaxLease] are leased
	MaxAttempts int                       // deliveries of a message before it is dead-lettered, 1 or more
	Match       func(message.Offset) bool // nil takes all; a false answer settles the offset without a delivery
	Deadline    int64                     // Unix milliseconds; ignored when Auto
	Auto        bool                      // the lease lasts as long as its client lives, [MaxAutoLease] at most
	Client      string                    // its first 255 bytes are kept
	Lease       uint64                    // number of the lease: above every number that the group was given in this epoch
}

// Delivery is one leased offset.
type Delivery struct {
	Offset  message.Offset
	Attempt uint16 // 1 for the first delivery
}

// Decision is the answer to a lease.
type Decision struct {
	Step
	Leased    []Delivery       // retries first, in the order of their deadlines, then new offsets
	Deadline  int64            // of the leases, Unix milliseconds: what a handle carries
	Filtered  []Run            // offsets that did not match; the step settles them
	Expired   int64            // unsettled messages below First that the step gives up
	Exhausted []message.Offset // have had their last attempt: dead-letter them. Each is named here once; see [Group.Exhausted]
	More      bool             // the scan stopped at its bound before it found Max messages: call again
	Full      bool             // [MaxDeliveries] are unsettled: no new offset is leased
}

// Outcome is the answer to a decision about handles.
type Outcome struct {
	Step
	// Errs has nil or ErrInvalidHandle for each handle, in order. Nil is true once Step is durable; with
	// an empty Step it is true now.
	Errs []error
}

// DeadLetterOutcome is the answer to a decision to dead-letter one message.
type DeadLetterOutcome struct {
	Step
	Copy bool  // append the message's copy in the frame of Step; otherwise the message has been settled before
	Err  error // nil or ErrInvalidHandle
}

// Exhausted is a message past its last attempt.
type Exhausted struct {
	Queue   message.Queue
	Offset  message.Offset
	Attempt uint16 // deliveries that it has had
}

// Counts are the numbers of a group in one queue.
type Counts struct {
	Committed message.Offset // everything before it is settled
	Ready     int64          // messages that could be leased now
	InFlight  int64          // messages under a lease that has not ended
	Exhausted int64          // messages past their last attempt, not yet dead-lettered
	Settled   int64          // settled messages at or above Committed
	Lag       int64          // messages that are not settled
}
