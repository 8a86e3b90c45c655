package commitlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
)

// Log is an open log. Submit, Roll, Read, Frames, Trim and the methods that tell are safe for
// concurrent use; Open, Replay, Start and Run follow one another.
type Log struct {
	opts  Options
	queue queue

	watermark  atomic.Uint64              // a message.Position; all below is durable
	segments   atomic.Pointer[[]*segment] // oldest first; replaced, never changed
	listing    sync.Mutex                 // held by who replaces segments
	trimming   chan struct{}              // holds a token while a Trim runs
	current    atomic.Uint32              // a message.Epoch
	fence      fence
	stop       chan struct{} // closed by Close
	spares     atomic.Int64  // how many spare files were ever named
	acceptTime atomic.Bool   // AcceptTime was called; the encoder takes it back

	mu struct {
		sync.Mutex
		state   state
		runDone chan struct{} // closed when Run has returned
	}

	// Owned by Open and Start, then by the encoder.
	tail       chain // what the next frame must follow
	active     segmentPlan
	epoch      message.Epoch
	epochStart message.Position
	stamper    *clock.Stamper
	trust      clock.Trust
	proven     bool // the last frame holds no records, so it proves all others

	// Owned by Open and Start, then by the writer.
	written *segment // takes the frames

	filler filler
}

// segmentPlan is the segment that the encoder puts frames in; its file may not exist yet.
type segmentPlan struct {
	id   message.SegmentID
	base message.Position
	room message.Position // where its last frame must end
}

type state uint8

const (
	stateOpen state = iota
	stateStarting
	stateStarted
	stateRunning
	stateClosed
)

// Open recovers the log in opts.Dir, or makes a new one. When it returns, everything in the log
// is durable, nothing torn is left, and Read serves it; nothing can be appended before Start. It
// fails with a [*DamageError] if bytes that were durable are not what they were.
func Open(ctx context.Context, opts Options) (*Log, error) {
	opts.setDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{opts: opts, stop: make(chan struct{}), trimming: make(chan struct{}, 1)}
	l.opts.SegmentSize = pages(opts.SegmentSize)
	l.opts.FillChunk = min(opts.FillChunk, l.opts.SegmentSize)
	l.queue.init(opts.MaxPending)
	l.fence.init()
	l.filler.init(l)
	l.setSegments(nil)
	began := opts.Clock.Boot()
	if err := opts.FS.MkdirAll(opts.Dir); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	r, err := l.recover(ctx)
	if err != nil {
		l.releaseSegments()
		return nil, fmt.Errorf("open log in %s: %w", opts.Dir, err)
	}
	l.stamper = clock.NewStamper(opts.Clock, l.tail.maxTime)
	l.watermark.Store(uint64(r.End))
	l.current.Store(uint32(r.LastEpoch))
	l.written = l.filler.target()
	l.active = segmentPlan{id: l.written.header.id, base: l.written.header.base, room: l.written.room()}
	r.Took = opts.Clock.Boot() - began
	if f := opts.Events.Recovered; f != nil {
		f(r)
	}
	return l, nil
}

// Replay calls fn for each recovered frame that ends above from, in log order; between Open and
// Start. The frame's bytes are valid during the call only. It stops at fn's first error.
func (l *Log) Replay(ctx context.Context, from message.Position, fn func(Frame) error) error {
	return l.Frames(ctx, from, l.Watermark(), fn)
}

// Start begins a new epoch, which must be above every epoch in the log and already durable
// elsewhere: it appends the epoch's first frame, which holds batch (nil: no record), waits until
// it is durable and hands it to Apply.
func (l *Log) Start(ctx context.Context, epoch message.Epoch, batch Batch) error {
	if epoch <= l.tail.epoch {
		return fmt.Errorf("start epoch %d after %d: %w", uint32(epoch), uint32(l.tail.epoch), ErrEpoch)
	}
	if batch != nil && batch.Size() > MaxBatch {
		return fmt.Errorf("start: %w", ErrTooLarge)
	}
	if !l.advance(stateOpen, stateStarting) {
		return fmt.Errorf("start: %w", ErrState)
	}
	l.epoch, l.epochStart = epoch, l.tail.next
	l.current.Store(uint32(epoch))
	f := newFrameBuf()
	if batch != nil {
		l.fill(f, []*Request{{Batch: batch, Done: func(error) {}, size: int64(batch.Size())}})
	}
	l.seal(f)
	if err := l.commit(ctx, f); err != nil {
		l.fence.raise(l, err)
		return fmt.Errorf("start epoch %d: %w", uint32(epoch), err)
	}
	if l.opts.Apply != nil {
		l.opts.Apply(f.frame())
	}
	if !l.advance(stateStarting, stateStarted) {
		return fmt.Errorf("start: %w", ErrClosed)
	}
	return nil
}

// advance moves on to the next state if the log is in the one before.
func (l *Log) advance(from, to state) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.state != from {
		return false
	}
	l.mu.state = to
	return true
}

// Run commits until ctx ends or Close is called, then writes what was admitted and returns nil; or
// until the log is fenced, and returns why.
func (l *Log) Run(ctx context.Context) error {
	l.mu.Lock()
	if l.mu.state != stateStarted {
		l.mu.Unlock()
		return fmt.Errorf("run: %w", ErrState)
	}
	l.mu.state = stateRunning
	done := make(chan struct{})
	l.mu.runDone = done
	l.mu.Unlock()
	defer close(done)

	ctx, cancel := context.WithCancel(ctx)
	// The filler goes on until the last frame is written, which may need it.
	fillCtx, stopFill := context.WithCancel(context.WithoutCancel(ctx))
	c := newCommitter(l)
	l.filler.running = true
	var commit, others sync.WaitGroup
	others.Go(func() {
		select {
		case <-l.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	others.Go(func() { l.filler.run(fillCtx) })
	commit.Go(func() { c.encode(ctx) })
	commit.Go(func() { c.write(ctx) })
	c.apply()
	commit.Wait()
	cancel()
	stopFill()
	others.Wait()
	return l.fence.err()
}

// Submit admits a request and returns at once: ErrOverloaded, ErrTooLarge, ErrFull, ErrClosed and
// ErrFenced mean that nothing was appended and that Done will not be called. Requests may be
// submitted from Open on; they are answered once Run runs.
func (l *Log) Submit(r *Request) error {
	r.size = int64(r.Batch.Size())
	if r.size > MaxBatch {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, r.size)
	}
	if l.filler.full.Load() {
		return ErrFull
	}
	return l.queue.push(r)
}

// Roll makes the log begin a new segment soon, if the active one holds records.
func (l *Log) Roll() { l.queue.askRoll() }

// AcceptTime believes the wall clock from the next record on, however far ahead it is: an operator's word.
func (l *Log) AcceptTime() { l.acceptTime.Store(true) }

// Watermark returns the position below which everything is durable and readable.
func (l *Log) Watermark() message.Position { return message.Position(l.watermark.Load()) }

// Epoch returns the epoch that Start began, or that of the last recovered frame before it.
func (l *Log) Epoch() message.Epoch {
	return message.Epoch(l.current.Load())
}

// Fenced returns why the log serves no more, and nil while it does.
func (l *Log) Fenced() error { return l.fence.err() }

// Close stops Run, waits for it and for readers to let go, and closes the files. Requests that
// nobody will commit any more are answered with ErrClosed. Closing again does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	was := l.mu.state
	l.mu.state = stateClosed
	runDone := l.mu.runDone
	l.mu.Unlock()
	if was == stateClosed {
		return nil
	}
	close(l.stop)
	l.trimming <- struct{}{} // waits for a Trim, and none begins
	if runDone != nil {
		<-runDone
	}
	answer(l.queue.close(ErrClosed), ErrClosed)
	l.filler.close()
	for _, s := range l.releaseSegments() {
		<-s.gone
	}
	return nil
}

func answer(reqs []*Request, err error) {
	for _, r := range reqs {
		r.Done(err)
	}
}

func (l *Log) setSegments(segments []*segment) { l.segments.Store(&segments) }

// releaseSegments empties the list and gives up the log's own references.
func (l *Log) releaseSegments() []*segment {
	l.listing.Lock()
	defer l.listing.Unlock()
	segments := *l.segments.Swap(&[]*segment{})
	for _, s := range segments {
		s.release()
	}
	return segments
}

// publish makes a new active segment readable and keeps maps of the two newest alone: old ones are
// read by catch-up readers, whose page faults would hold the committer up.
func (l *Log) publish(s *segment) {
	l.listing.Lock()
	defer l.listing.Unlock()
	segments := slices.Clone(*l.segments.Load())
	if n := len(segments) - 1; segments[n].header.base == s.header.base {
		// The active segment held no frame and had no room for this one: the new file took its name.
		segments[n].release()
		segments = segments[:n]
	}
	segments = append(segments, s)
	for _, old := range segments[:max(0, len(segments)-2)] {
		old.unmap()
	}
	l.setSegments(segments)
}

// newHeader draws a segment's identity and tells its file's length: the usual one, or what the first frame needs.
func (l *Log) newHeader(base message.Position, prevCRC uint32, length int64) segmentHeader {
	return segmentHeader{
		shard: l.opts.Shard, id: l.newSegmentID(), base: base,
		created: l.opts.Clock.Now().UnixMilli(), prevCRC: prevCRC, length: length,
	}
}

// newSegmentID never draws 0, which a page of zeros would have.
func (l *Log) newSegmentID() message.SegmentID {
	for {
		if id := l.opts.Rand.Uint64(); id != 0 {
			return message.SegmentID(id)
		}
	}
}

// fence is the end of a log whose disk failed. The first error stays.
type fence struct {
	raised chan struct{} // closed with it
	cause  atomic.Pointer[error]
}

func (f *fence) init() { f.raised = make(chan struct{}) }

func (f *fence) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// raise refuses everything from now on.
func (f *fence) raise(l *Log, cause error) {
	err := fmt.Errorf("%w: %w", ErrFenced, cause)
	if errors.Is(cause, ErrFenced) {
		err = cause
	}
	if !f.cause.CompareAndSwap(nil, &err) {
		return
	}
	close(f.raised)
	answer(l.queue.close(err), err)
	if fn := l.opts.Events.Fenced; fn != nil {
		fn(err)
	}
}

// since measures by the boot clock, which nobody sets.
func (l *Log) since(began time.Duration) time.Duration { return l.opts.Clock.Boot() - began }
