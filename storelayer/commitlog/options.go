package commitlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
)

// Sizes in bytes.
const (
	// FrameTarget is where a frame stops taking more batches; one larger batch makes its own.
	FrameTarget = 2 << 20
	// MaxBatch is the largest atomic step.
	MaxBatch = 16 << 20
	// DefaultSegmentSize is the length of a segment file.
	DefaultSegmentSize = 1 << 30
	// MinSegmentSize keeps a segment larger than its header and a few frames.
	MinSegmentSize = 64 << 10
	// FillChunk is how far ahead of the committer a segment is filled with zeros.
	FillChunk = 32 << 20
	// DefaultMaxPending bounds the bytes of admitted requests that are not written yet.
	DefaultMaxPending = 64 << 20
)

// DefaultIdleAfter is how long nothing must come before a frame without records proves the last one.
const DefaultIdleAfter = time.Second

// lazyAfter is how long a lazy request waits at most for a frame that somebody else needs.
const lazyAfter = 5 * time.Millisecond

// Options are the parts and settings of a log. FS, Dir, Clock and Rand must be given.
type Options struct {
	FS    vfs.FS
	Dir   string // of this log alone; made if missing. The caller holds the lock on a folder above it.
	Clock clock.Clock
	Rand  *rand.Rand // segment ids; seeded from the system's randomness outside of tests. Owned by the log.
	Shard message.ShardID

	// Create permits an empty folder to become a new log that begins at Base. Without it an empty
	// folder is ErrNotFound: a log that is gone must not be taken for one that never was. A caller
	// remembers durably that a first Open has returned, and does not set it from then on.
	Create bool
	Base   message.Position // a multiple of 4 KiB

	// VerifyFrom spares recovery the bodies of segments that end at or below it: a snapshot covers them.
	VerifyFrom message.Position

	SegmentSize int64         // bytes of a segment file; 0: DefaultSegmentSize
	FillChunk   int64         // bytes filled ahead; 0: FillChunk
	MaxPending  int64         // 0: DefaultMaxPending
	IdleAfter   time.Duration // 0: DefaultIdleAfter; negative: never

	// Apply is called for every frame, in log order, from one goroutine, once the watermark has
	// passed it and before its durable requests are answered. The frame's bytes are valid during the
	// call only. It must not call Submit and wait for the answer.
	Apply func(Frame)

	Events Events
}

// Events are the moments that logs, metrics and tests listen to. Nil functions are skipped. They
// are called from the goroutine where it happens and must return soon.
type Events struct {
	Recovered func(Recovery)                                    // Open has made the log good
	Rolled    func(SegmentInfo)                                 // a segment became the active one
	Committed func(frameBytes, records int, sync time.Duration) // a frame is durable; sync is what the fdatasync took
	FillWait  func(waited time.Duration)                        // the committer caught up with the filler
	Fenced    func(error)                                       // the log's disk failed; it serves nothing new
	Time      func(trust clock.Trust, storeTime int64)          // the way in which store time follows the wall clock changed
}

// Recovery says what Open found and did.
type Recovery struct {
	First, End message.Position // of the log that is left
	Watermark  message.Position // what the log itself proved to be durable; [Watermark, End) was written again
	Cut        int64            // bytes of the torn tail that were cut, to the last one that was not zero
	Segments   int
	LastEpoch  message.Epoch // of the last frame; 0 in a new log
	Took       time.Duration
}

func (o *Options) setDefaults() {
	if o.SegmentSize == 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.FillChunk == 0 {
		o.FillChunk = FillChunk
	}
	if o.MaxPending == 0 {
		o.MaxPending = DefaultMaxPending
	}
	if o.IdleAfter == 0 {
		o.IdleAfter = DefaultIdleAfter
	}
}

func (o *Options) validate() error {
	var errs []error
	if o.FS == nil || o.Clock == nil || o.Rand == nil || o.Dir == "" {
		errs = append(errs, errors.New("FS, Dir, Clock and Rand must be given"))
	}
	if o.SegmentSize < MinSegmentSize {
		errs = append(errs, fmt.Errorf("segment size %d is below %d", o.SegmentSize, MinSegmentSize))
	}
	if o.Base%pageSize != 0 {
		errs = append(errs, fmt.Errorf("base %d is not a multiple of %d", uint64(o.Base), pageSize))
	}
	if o.FillChunk < pageSize || o.FillChunk%pageSize != 0 {
		errs = append(errs, fmt.Errorf("fill chunk %d is not a multiple of %d", o.FillChunk, pageSize))
	}
	return errors.Join(errs...)
}

// AckMode says when a request is answered.
type AckMode uint8

// The ack modes of one copy.
const (
	AckDurable AckMode = iota // after the sync, when Apply has seen the frame
	AckLocal                  // after the write: a power cut may lose it. Readers wait for the watermark all the same.
)

// Batch is what one request appends: whole records that stand or fall together in one frame.
type Batch interface {
	// Size is an upper bound in bytes of what AppendTo appends; it is asked once, by Submit.
	Size() int
	// AppendTo appends the batch's records, back to back, the first of which will lie at position
	// at, and returns how many there are. Store time is in milliseconds. The committer calls it
	// exactly once, in log order, from one goroutine: so offsets are assigned here. It must not
	// block; it may not fail.
	AppendTo(dst []byte, at message.Position, storeTime int64) (appended []byte, records int)
}

// Request is one append. It belongs to the log from Submit until Done was called.
type Request struct {
	Batch Batch
	Ack   AckMode
	// Lazy says that nobody waits for this request: it lies in memory until another one makes a frame, or
	// until lazyAfter has passed, so that it costs no sync of its own.
	Lazy bool
	// Refusable says that the request may fail with ErrFull after Submit has admitted it: its caller has
	// nothing to take back but the request itself.
	Refusable bool
	// Done is called exactly once if Submit returned nil, from a goroutine that the log waits for: it
	// must not block. ErrFull means that nothing was appended; any other error "unknown until recovery".
	Done func(err error)

	size int64 // of Batch, as Submit asked
}

// Frame is a committed frame. Records aliases a buffer of the log.
type Frame struct {
	Position  message.Position // of the frame; its first record lies at FirstRecord
	End       message.Position // where the next frame begins
	Segment   message.Position // base of the segment that it lies in
	Epoch     message.Epoch
	CRC       uint32 // of the whole frame: with Epoch and End it names a history
	Count     int    // of records
	Records   []byte // records back to back
	StoreTime int64  // the greatest of its records, in milliseconds
}

// FirstRecord returns the position of the first byte of Records.
func (f Frame) FirstRecord() message.Position { return f.Position + frameHeaderLen }

// All calls fn for each record of the frame with its position and its whole length in bytes. It
// stops at fn's first error and fails with message.ErrCorrupt if the records do not decode.
func (f Frame) All(fn func(at message.Position, r message.Record, size int) error) error {
	at, rest := f.FirstRecord(), f.Records
	for n := 0; len(rest) > 0 || n < f.Count; n++ {
		r, size, err := message.DecodeRecord(rest)
		if err != nil {
			return fmt.Errorf("record %d of the frame at %d: %w", n, uint64(f.Position), err)
		}
		if err := fn(at, r, size); err != nil {
			return err
		}
		at += message.Position(size)
		rest = rest[size:]
	}
	return nil
}

// SegmentInfo describes a local segment.
type SegmentInfo struct {
	ID       message.SegmentID
	Base     message.Position // of its first frame
	End      message.Position // of its last frame that is at or below the watermark
	Created  time.Time
	Active   bool  // whether it still takes frames; others never change again and may be sealed
	FileSize int64 // bytes reserved on disk
}

// batchFunc makes a batch of a function.
type batchFunc struct {
	size int
	fn   func(dst []byte, at message.Position, storeTime int64) ([]byte, int)
}

func (b batchFunc) Size() int { return b.size }

func (b batchFunc) AppendTo(dst []byte, at message.Position, storeTime int64) ([]byte, int) {
	return b.fn(dst, at, storeTime)
}

// BatchFunc returns a batch of at most size bytes that fn appends.
func BatchFunc(size int, fn func(dst []byte, at message.Position, storeTime int64) ([]byte, int)) Batch {
	return batchFunc{size, fn}
}

// Append submits a batch and waits for its answer; ctx bounds the wait, not the append: an error
// other than those of Submit means "unknown".
func (l *Log) Append(ctx context.Context, b Batch, ack AckMode) error {
	done := make(chan error, 1)
	if err := l.Submit(&Request{Batch: b, Ack: ack, Done: func(err error) { done <- err }}); err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
