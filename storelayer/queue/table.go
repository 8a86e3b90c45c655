package queue

import (
	"io"

	"github.com/stratamq/stratamq/message"
)

// Table holds the hot consumeQueue and index of a shard.
type Table struct{}

// State is what the table knows of a queue.
type State struct {
	Queue         message.Queue
	First         message.Offset   // in any tier
	FirstLocal    message.Offset   // from here on the table has entries
	Next          message.Offset   // the queue's end
	LastStoreTime int64            // Unix milliseconds, 0 without a message
	Current       message.Position // records below it are in
}

// NewTable returns the empty table of a shard whose active segment starts at base.
func NewTable(base message.Position) *Table { panic("skeleton") }

// Reserve takes n offsets of a queue for messages about to be written and returns the first. Only the committer calls it.
func (t *Table) Reserve(q message.Queue, n int) message.Offset { panic("skeleton") }

// Append publishes one message whose frame is at or below the watermark. Only one goroutine calls it (or Roll), in log
// order. A message that the table has is skipped, so that replay may begin too early; a hole is ErrCorrupt.
// Hashes are the message's index keys (message.IndexKey); they are not kept.
func (t *Table) Append(q message.Queue, offset message.Offset, e message.Entry, storeTime int64, hashes []uint64) error {
	panic("skeleton")
}

// Roll says that the log goes on in a segment that starts at base.
func (t *Table) Roll(base message.Position) error { panic("skeleton") }

// WriteSegment writes the file of a full segment in memory. The caller makes it visible whole, opens it and attaches it.
func (t *Table) WriteSegment(base message.Position, w io.Writer) error { panic("skeleton") }

// Attach puts a segment's file in the place of its entries in memory, or of nothing in recovery (oldest segment first).
func (t *Table) Attach(f *SegmentFile) error { panic("skeleton") }

// Drop forgets the oldest local segment and returns its file, which no reader uses any longer; nil if it was in memory.
func (t *Table) Drop(base message.Position) (*SegmentFile, error) { panic("skeleton") }

// Segments returns the bases of the local segments, oldest first, and whether each lies in a file.
func (t *Table) Segments() []SegmentState { panic("skeleton") }

// SegmentState is one local segment of a table.
type SegmentState struct {
	Base    message.Position
	InFile  bool
	Entries int64 // messages
}

// Queue returns the state of a queue, and false if the shard has never held it.
func (t *Table) Queue(q message.Queue) (State, bool) { panic("skeleton") }

// Queues returns the states of all queues, sorted by topic and queue.
func (t *Table) Queues() []State { panic("skeleton") }

// Next returns the end of a queue, 0 if it is not known.
func (t *Table) Next(q message.Queue) message.Offset { panic("skeleton") }

// Entry returns one entry. It fails with *storelayer.OffsetOutOfRangeError if the queue does not hold the offset and
// with ErrNotLocal if only the bucket has it.
func (t *Table) Entry(q message.Queue, offset message.Offset) (message.Entry, error) {
	panic("skeleton")
}

// Range appends at most limit entries of a queue to dst, from an offset on, and returns it. Fewer come only at the queue's
// end. It fails like Entry, except that the queue's end gives no entries and no error.
func (t *Table) Range(dst []message.Entry, q message.Queue, from message.Offset, limit int) ([]message.Entry, error) {
	panic("skeleton")
}

// OffsetAt returns the first local offset whose message was stored at or after t, and the queue's end if there is none.
// The store time of an entry is read by the caller; its error ends the search.
func (t *Table) OffsetAt(q message.Queue, at int64, storeTime func(message.Entry) (int64, error)) (message.Offset, error) {
	panic("skeleton")
}

// Lookup appends to dst at most limit positions of messages with an index key, newest first. A hash may be shared: the
// caller compares the message.
func (t *Table) Lookup(dst []message.Position, hash uint64, limit int) ([]message.Position, error) {
	panic("skeleton")
}

// SetFirst raises the first offset of a queue in any tier, as retention does; a lower one is ignored.
func (t *Table) SetFirst(q message.Queue, first message.Offset, at message.Position) {
	panic("skeleton")
}

// Restore sets what a rebuild from the bucket knows of a queue. It comes before any Append to that queue.
func (t *Table) Restore(s State) { panic("skeleton") }

// DropTopic forgets the queues of a topic.
func (t *Table) DropTopic(topic message.TopicID) { panic("skeleton") }

// AppendSnapshot appends the states of all queues, without entries, while appends go on: each carries its position.
func (t *Table) AppendSnapshot(dst []byte) []byte { panic("skeleton") }

// DecodeSnapshot returns a table whose active segment starts at base, with the queues of a snapshot, and the rest of src.
// Replay of the local segments, oldest first, gives it its entries. It fails with message.ErrCorrupt.
func DecodeSnapshot(src []byte, base message.Position) (*Table, []byte, error) { panic("skeleton") }

// Dump writes the queues and their entries as canonical text.
func (t *Table) Dump(w io.Writer) error { panic("skeleton") }

// SegmentFile reads the file of one segment.
type SegmentFile struct{}

// OpenSegmentFile checks a segment's file whole, once, and reads its directory. The file stays the caller's.
func OpenSegmentFile(r io.ReaderAt, size int64) (*SegmentFile, error) { panic("skeleton") }

// Base returns the position at which the segment starts.
func (f *SegmentFile) Base() message.Position { panic("skeleton") }

// Builder collects the entries of one segment, to make its file again from the frames.
type Builder struct{}

// NewBuilder returns an empty builder for the segment that starts at base.
func NewBuilder(base message.Position) *Builder { panic("skeleton") }

// Add adds a message, in log order.
func (b *Builder) Add(q message.Queue, offset message.Offset, e message.Entry, hashes []uint64) error {
	panic("skeleton")
}

// WriteTo writes the segment's file.
func (b *Builder) WriteTo(w io.Writer) (int64, error) { panic("skeleton") }
