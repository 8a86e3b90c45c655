package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/group"
	"github.com/stratamq/stratamq/storelayer/queue"
)

// Config holds a shard's settings.
type Config struct {
	SegmentSize int64         // bytes of a segment file
	SealMaxAge  time.Duration // a segment that holds records is closed after this long though it is not full; 0: never
	DiskMark    int64         // bytes of free disk below which appends are refused
	MaxAttempts int           // deliveries of a message of a group that has not said how many
}

// DefaultConfig returns the settings of a shard that nobody configured.
func DefaultConfig() Config {
	return Config{
		SegmentSize: commitlog.DefaultSegmentSize,
		SealMaxAge:  6 * time.Hour,
		DiskMark:    2*commitlog.DefaultSegmentSize + 1<<30,
		MaxAttempts: 17,
	}
}

// Options are the parts of a shard. All but Bucket and Events must be given.
type Options struct {
	Config

	ID     message.ShardID
	FS     vfs.FS
	Dir    string // of this shard alone; the caller holds the lock on a folder above it
	Clock  clock.Clock
	Rand   *rand.Rand // owned by the shard
	Logger *slog.Logger

	// Create permits an empty folder to become a new shard. A log that is gone must not be taken for
	// one that never was.
	Create bool

	// NextEpoch makes the epoch that the shard is about to begin durable elsewhere, and returns it; it must be
	// above last, the last one in the log.
	NextEpoch func(ctx context.Context, last message.Epoch) (message.Epoch, error)

	DeadLetters DeadLetters
	Bucket      Bucket // nil: what is trimmed is gone
	Events      Events
}

// DeadLetters finds the queue that dead-lettered messages of a group go to. The answer may need a write to
// the metadata store, so it may fail and is asked again.
type DeadLetters interface {
	DeadLetterQueue(ctx context.Context, group string) (topic string, q message.Queue, err error)
}

// Bucket is what a shard reads back of what it has sealed.
type Bucket interface {
	// Read returns the stored message at an offset whose local bytes are gone.
	Read(ctx context.Context, q message.Queue, offset message.Offset) ([]byte, error)
	// Snapshot returns the snapshot of the newest seal, or nil if there is no seal.
	Snapshot(ctx context.Context) ([]byte, error)
}

// Events are the moments that logs, metrics and tests listen to. Nil functions are skipped; they must return soon.
type Events struct {
	Log          commitlog.Events
	Recovered    func(Recovery)
	Snapshot     func(start message.Position, bytes int, err error)
	DeadLettered func(group string, q message.Queue, offset message.Offset)
	DeadLetter   func(group string, q message.Queue, offset message.Offset, err error) // could not be moved; it is tried again
	Expired      func(group string, q message.Queue, messages int64)                   // unsettled messages that retention passed
	DiskLow      func(low bool, free int64)
}

// Recovery says how a shard came back.
type Recovery struct {
	Snapshot    message.Position // start of the snapshot that was used
	HadSnapshot bool
	Replayed    message.Position // end of the log
	Records     int64
	Rebuilt     int // queue files made again
	Took        time.Duration
}

// Shard is one shard in this process.
type Shard struct {
	id      message.ShardID
	opts    Options
	log     *commitlog.Log
	table   *queue.Table
	clients *group.Clients
	waiters *waiters
	disk    *diskMark
	epoch   message.Epoch
	leases  atomic.Uint64 // the last lease number given
	dead    *deadLetterer

	sealSequence   atomic.Uint64
	activeMessages atomic.Int64 // messages of the active segment
	closed         atomic.Bool
	stopped        chan struct{} // closed behind closed: parked polls end
	stopOnce       sync.Once

	mu struct {
		sync.RWMutex
		groups  map[group.Key]*progress
		deleted map[message.TopicID]struct{}
	}

	// Owned by the apply goroutine, which is the caller of recovery before Run.
	applying struct {
		segment    message.Position // base of the segment of the last frame
		leaseEpoch message.Epoch    // of the last lease recovered
		lastLease  uint64           // the highest lease number recovered of that epoch
		hashes     []uint64
		touched    map[message.TopicID]int
	}

	// Owned by the committer, which is the caller of recovery before Run.
	encoding struct {
		ended map[message.TopicID]struct{} // topics whose end is in the log, durable or on its way
	}

	seen    atomic.Pointer[frameMark] // the last frame that apply began
	applied atomic.Pointer[frameMark] // the last frame that apply finished

	rolled       chan struct{} // a segment became full; capacity 1
	snapshotting sync.Mutex    // one snapshot at a time
	rolling      sync.Mutex    // queue files are written, or a segment is trimmed

	filesMu sync.Mutex
	files   map[message.Position]*queueFile
}

// frameMark names a frame.
type frameMark struct {
	position, end message.Position
	epoch         message.Epoch
	crc           uint32
}

// progress is a group behind its lock.
type progress struct {
	mu struct {
		sync.Mutex
		*group.Group
	}
	key         group.Key
	maxAttempts atomic.Int64 // as the last lease said
}

const (
	logDir      = "log"
	queueDir    = "queue"
	snapshotDir = "snapshot"
	tempSuffix  = ".tmp"
)

// Open recovers the shard in opts.Dir, or makes a new one, and begins an epoch. It fails with a
// [*commitlog.DamageError] if bytes that were durable are not what they were.
func Open(ctx context.Context, opts Options) (*Shard, error) {
	s := &Shard{
		id:      opts.ID,
		opts:    opts,
		waiters: newWaiters(),
		disk:    newDiskMark(opts.FS, opts.Dir, opts.DiskMark, opts.Events.DiskLow),
		rolled:  make(chan struct{}, 1),
		stopped: make(chan struct{}),
		files:   make(map[message.Position]*queueFile),
	}
	s.dead = newDeadLetterer(s)
	s.clients = group.NewClients(s.now())
	s.mu.groups = make(map[group.Key]*progress)
	s.mu.deleted = make(map[message.TopicID]struct{})
	s.applying.touched = make(map[message.TopicID]int)
	for _, dir := range []string{logDir, queueDir, snapshotDir} {
		if err := opts.FS.MkdirAll(path.Join(opts.Dir, dir)); err != nil {
			return nil, fmt.Errorf("open shard %s: %w", opts.ID, err)
		}
	}
	if err := s.recover(ctx); err != nil {
		if s.log != nil {
			err = errors.Join(err, s.log.Close(), s.closeQueueFiles())
		}
		return nil, fmt.Errorf("open shard %s: %w", opts.ID, err)
	}
	return s, nil
}

// ID implements [storelayer.Shard].
func (s *Shard) ID() message.ShardID { return s.id }

// Epoch returns the epoch that Open began.
func (s *Shard) Epoch() message.Epoch { return s.epoch }

// Watermark returns the position below which everything is durable and readable.
func (s *Shard) Watermark() message.Position { return s.log.Watermark() }

// Run commits and does the shard's other work until ctx ends, then writes what was admitted and leaves a
// snapshot, so that the next start replays little. It returns an error if the log is fenced.
func (s *Shard) Run(ctx context.Context) error {
	// The log outlives the others: what they have admitted is written before it stops.
	work, stopWork := context.WithCancel(ctx)
	defer stopWork()
	logCtx, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	logDone := make(chan error, 1)
	go func() {
		defer stopWork()
		logDone <- s.log.Run(logCtx)
	}()
	var others errgroup.Group
	others.Go(func() error { s.runSnapshots(work); return nil })
	others.Go(func() error { s.runTicker(work); return nil })
	others.Go(func() error { s.dead.run(work); return nil })
	<-work.Done()
	s.refuse()
	othersErr := others.Wait()
	stopLog()
	if err := errors.Join(othersErr, <-logDone); err != nil {
		return fmt.Errorf("shard %s: %w", s.id, err)
	}
	if err := s.writeSnapshot(); err != nil {
		s.opts.Logger.Warn("no snapshot at the stop; the next start replays more", "shard", s.id, "err", err)
	}
	return nil
}

// Close releases the shard's files; Run must have been stopped, or never started.
func (s *Shard) Close() error {
	s.refuse()
	return errors.Join(s.log.Close(), s.closeQueueFiles())
}

// refuse admits nothing more and ends the polls that are parked.
func (s *Shard) refuse() {
	s.closed.Store(true)
	s.stopOnce.Do(func() { close(s.stopped) })
}

func (s *Shard) closeQueueFiles() error {
	s.filesMu.Lock()
	defer s.filesMu.Unlock()
	var errs []error
	for _, file := range s.files {
		errs = append(errs, file.Close())
	}
	clear(s.files)
	return errors.Join(errs...)
}

// tick is how often the shard looks at what time alone changes.
const tick = time.Second

// runTicker watches the disk, dead-letters what ran out of attempts and closes old segments.
func (s *Shard) runTicker(ctx context.Context) {
	timer := s.opts.Clock.NewTimer(tick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		s.disk.check()
		s.clients.Sweep(s.now())
		s.collectExhausted()
		s.rollOld()
		timer.Reset(tick)
	}
}

// rollOld asks for a new segment when the active one is older than SealMaxAge and holds a message. Without one
// there is no history to seal, and an idle shard would make empty segments for ever.
func (s *Shard) rollOld() {
	if s.opts.SealMaxAge <= 0 {
		return
	}
	segments := s.log.Segments()
	active := segments[len(segments)-1]
	if s.activeMessages.Load() > 0 && s.opts.Clock.Now().Sub(active.Created) >= s.opts.SealMaxAge {
		s.log.Roll()
	}
}

// now is the wall clock in Unix milliseconds. Deadlines are wall times: they outlive the process.
func (s *Shard) now() int64 { return s.opts.Clock.Now().UnixMilli() }

// admit refuses work that the shard cannot take. A fenced shard says so, also once it has stopped for that.
func (s *Shard) admit(ctx context.Context) error {
	if err := s.log.Fenced(); err != nil {
		return logError(err)
	}
	if s.closed.Load() {
		return storelayer.ErrClosed
	}
	return ctx.Err()
}

// topicGone reports whether a topic id has ended here.
func (s *Shard) topicGone(topic message.TopicID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, gone := s.mu.deleted[topic]
	return gone
}

// logError turns an error of the log into one of the store layer's words.
func logError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, commitlog.ErrOverloaded):
		return fmt.Errorf("%w: %w", storelayer.ErrOverloaded, err)
	case errors.Is(err, commitlog.ErrFull):
		return fmt.Errorf("%w: %w", storelayer.ErrDiskMark, err)
	case errors.Is(err, commitlog.ErrClosed):
		return fmt.Errorf("%w: %w", storelayer.ErrClosed, err)
	case errors.Is(err, commitlog.ErrFenced):
		return fmt.Errorf("%w: %w", storelayer.ErrFenced, err)
	default:
		return err
	}
}
