package commitlog

import (
	"context"

	"github.com/stratamq/stratamq/message"
)

// Log is an open log. Submit, Read and the methods that tell are safe for concurrent use.
type Log struct{}

// Open recovers the log in opts.Dir, or makes a new one. When it returns, everything in the log
// is durable, nothing torn is left, and Read serves it; nothing can be appended before Start. It
// fails with a [*DamageError] if bytes that were durable are not what they were.
func Open(ctx context.Context, opts Options) (*Log, error)

// Replay calls fn for each recovered frame that ends above from, in log order; between Open and
// Start. The frame's bytes are valid during the call only. It stops at fn's first error.
func (l *Log) Replay(ctx context.Context, from message.Position, fn func(Frame) error) error

// Start begins a new epoch, which must be above every epoch in the log and already durable
// elsewhere: it appends the epoch's first frame, which holds batch (nil: no record), waits until
// it is durable and hands it to Apply.
func (l *Log) Start(ctx context.Context, epoch message.Epoch, batch Batch) error

// Run commits until ctx ends, then writes what was admitted, or until the log is fenced.
func (l *Log) Run(ctx context.Context) error

// Submit admits a request and returns at once: ErrOverloaded, ErrTooLarge, ErrClosed and ErrFenced
// mean that nothing was appended and Done will not be called.
func (l *Log) Submit(r *Request) error

// Watermark returns the position below which everything is durable and readable.
func (l *Log) Watermark() message.Position

// Read appends the n bytes at position at, which must lie in one segment and below the watermark,
// to dst. It fails with ErrTrimmed or ErrBeyond. It does not check them: what was read from the log
// is checked when it is opened, sealed and replayed.
func (l *Log) Read(dst []byte, at message.Position, n int) ([]byte, error)

// ReadRecord appends the whole record at position at to dst; the record aliases the result.
func (l *Log) ReadRecord(dst []byte, at message.Position) ([]byte, message.Record, error)

// Segments returns the local segments, oldest first; the last one is active.
func (l *Log) Segments() []SegmentInfo

// Roll makes the log begin a new segment soon, if the active one holds records.
func (l *Log) Roll()

// Frames reads the frames of [from, to) by pread, checks them, and calls fn for each.
func (l *Log) Frames(ctx context.Context, from, to message.Position, fn func(Frame) error) error

// Trim durably removes the oldest segments that end at or below upTo; never the active one.
func (l *Log) Trim(ctx context.Context, upTo message.Position) error

// Close ends everything; it waits for Run to return and for readers to let go. Closing again does nothing.
func (l *Log) Close() error
