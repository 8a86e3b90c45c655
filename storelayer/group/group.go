package group

import (
	"io"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// Group is the progress of one (group name, generation) on one shard. It is not safe for concurrent use.
type Group struct{}

// New returns a group that has read nothing.
func New(key Key) *Group { panic("skeleton") }

// Key returns the group's name and generation.
func (g *Group) Key() Key { panic("skeleton") }

// Knows reports whether the group has begun to read a queue, so that [LeaseInput.Start] does not matter.
func (g *Group) Knows(q message.Queue) bool { panic("skeleton") }

// Lease chooses messages of a queue.
func (g *Group) Lease(m Moment, in *LeaseInput) Decision { panic("skeleton") }

// HasReady reports whether a lease in the queue, whose end is next, may find something now.
func (g *Group) HasReady(m Moment, q message.Queue, next message.Offset) bool { panic("skeleton") }

// NextDue returns the earliest instant, in Unix milliseconds, at which a lease of some queue ends; false if there is none.
func (g *Group) NextDue(m Moment) (int64, bool) { panic("skeleton") }

// Settle settles messages by their handles.
func (g *Group) Settle(m Moment, in Settled) Outcome { panic("skeleton") }

// ChangeVisibility moves the end of the lease of a handle to a deadline.
func (g *Group) ChangeVisibility(m Moment, h storelayer.Handle, deadline int64, uncounted bool) Outcome {
	panic("skeleton")
}

// Release ends leases at once as if they had not been: no attempt is counted. Dead handles are skipped.
func (g *Group) Release(m Moment, handles []storelayer.Handle) Step { panic("skeleton") }

// ClientGone ends the auto-renewed leases of a client at once.
func (g *Group) ClientGone(m Moment, client string) Step { panic("skeleton") }

// Exhausted returns at most limit messages past their last attempt.
func (g *Group) Exhausted(m Moment, maxAttempts, limit int) []Exhausted { panic("skeleton") }

// DeadLetterable reports whether a handle may still send its message to the dead-letter queue: nil, ErrInvalidHandle, and
// done if it is settled already.
func (g *Group) DeadLetterable(m Moment, h storelayer.Handle) (done bool, err error) {
	panic("skeleton")
}

// DeadLetter settles the message of a handle; its copy goes to dead in the same frame.
func (g *Group) DeadLetter(m Moment, h storelayer.Handle, dead message.Queue) Outcome {
	panic("skeleton")
}

// DeadLetterExhausted settles a message that Exhausted has named; an empty step if it has been settled since.
func (g *Group) DeadLetterExhausted(e Exhausted, dead message.Queue) Step { panic("skeleton") }

// Commit sets the group's offset of a queue as a client that pulls does; an empty step if that would go back.
func (g *Group) Commit(q message.Queue, offset message.Offset) Step { panic("skeleton") }

// Committed returns the group's durable offset of a queue, and false if there is none.
func (g *Group) Committed(q message.Queue) (message.Offset, bool) { panic("skeleton") }

// Reset puts the group to an offset of a queue and ends its leases there. Lease is a number above all
// that the group was given in this epoch.
func (g *Group) Reset(m Moment, q message.Queue, offset message.Offset, lease uint64) Step {
	panic("skeleton")
}

// Queues returns the queues that the group knows, sorted.
func (g *Group) Queues() []message.Queue { panic("skeleton") }

// Counts returns the group's numbers in a queue [first, next).
func (g *Group) Counts(m Moment, q message.Queue, first, next message.Offset) (Counts, bool) {
	panic("skeleton")
}

// Apply takes a record of this group that the watermark has passed. Records come in log order; one below the queue's
// position is skipped. It takes Lease, Settle, Visibility, Commit, DeadLetter and TopicDelete records and fails with
// message.ErrCorrupt.
func (g *Group) Apply(rec message.Record, at message.Position) error { panic("skeleton") }

// Abort undoes a step whose records were refused.
func (g *Group) Abort(id uint64) { panic("skeleton") }

// AppendSnapshot appends the durable layer.
func (g *Group) AppendSnapshot(dst []byte) []byte { panic("skeleton") }

// DecodeSnapshot decodes a group and returns the rest of src. It fails with message.ErrCorrupt.
func DecodeSnapshot(src []byte) (*Group, []byte, error) { panic("skeleton") }

// Dump writes the durable layer as canonical text.
func (g *Group) Dump(w io.Writer) error { panic("skeleton") }

// Header reads whose a record is: for Lease, Settle, Visibility, Commit, DeadLetter, GroupCreate and GroupDelete.
// The name aliases the record. It fails with message.ErrCorrupt.
func Header(rec message.Record) (name []byte, generation uint32, err error) { panic("skeleton") }

// MaxAutoLease, MaxDeliveries
const (
	MaxAutoLease  = 3 * 60 * 60 * 1000 // milliseconds that an auto-renewed lease lasts at most
	MaxDeliveries = 1 << 20            // unsettled deliveries of a group in a queue, at most
)

// Clients knows which clients of a shard live. It is safe for concurrent use.
type Clients struct{}

// NewClients returns the knowledge of a leader that began at start, in Unix milliseconds.
func NewClients(start int64) *Clients { panic("skeleton") }

// Report says that clients live.
func (c *Clients) Report(now int64, clients []string) { panic("skeleton") }

// Gone says that a client has ended.
func (c *Clients) Gone(client string) { panic("skeleton") }

// Horizon returns the instant at which the auto-renewed leases of a client end, if nobody reports it before.
func (c *Clients) Horizon(client string) int64 { panic("skeleton") }

// Sweep forgets clients that ended long ago.
func (c *Clients) Sweep(now int64) { panic("skeleton") }

// AppendRecord, EpochStart codec.
func (r EpochStartRecord) AppendTo(dst []byte) []byte { panic("skeleton") }

// DecodeEpochStart decodes the body of an EpochStart record.
func DecodeEpochStart(body []byte) (EpochStartRecord, error) { panic("skeleton") }

// AppendTo appends the body of a GroupCreate or GroupDelete record.
func (r GroupRecord) AppendTo(dst []byte) []byte { panic("skeleton") }

// DecodeGroup decodes the body of a GroupCreate or GroupDelete record.
func DecodeGroup(body []byte) (GroupRecord, error) { panic("skeleton") }
