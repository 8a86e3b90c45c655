package offload

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/multipart"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Config holds an offloader's settings.
type Config struct {
	Codec     segment.Codec
	BlockSize int // bytes of records in a block

	Upload multipart.Config // parts of an object

	// GatherBytes is how many bytes of records are brought into queue order at once: more of them make fewer and
	// larger reads of the segment.
	GatherBytes int

	Grace      time.Duration // that local bytes stay after a seal is finished, for readers that are under way
	LocalAge   time.Duration // that a sealed segment stays local; 0 and no LocalBytes: the grace alone
	LocalBytes int64         // of sealed segments that may stay local; above it the oldest go; 0: no bound

	Poll       time.Duration // how often the shard is asked for full segments when nobody calls Wake
	RetryFirst time.Duration // the wait after a first failure; it doubles, with jitter, up to RetryMax
	RetryMax   time.Duration
}

// DefaultConfig seals with zstd and trims after a minute.
func DefaultConfig() Config {
	return Config{
		Codec:       segment.CodecZstd,
		BlockSize:   segment.DefaultBlockSize,
		Upload:      multipart.DefaultConfig(),
		GatherBytes: 64 << 20,
		Grace:       time.Minute,
		Poll:        5 * time.Second,
		RetryFirst:  200 * time.Millisecond,
		RetryMax:    time.Minute,
	}
}

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if c.Codec > segment.CodecZstd {
		errs = append(errs, fmt.Errorf("codec: unknown %v", c.Codec))
	}
	if c.BlockSize < 1 || c.BlockSize > message.MaxRecordLen {
		errs = append(errs, fmt.Errorf("block_size: %d is outside 1 to %d", c.BlockSize, message.MaxRecordLen))
	}
	if err := c.Upload.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("upload: %w", err))
	}
	if c.GatherBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("gather_bytes: %d is below 1 MiB", c.GatherBytes))
	}
	if c.Grace < 0 || c.LocalAge < 0 || c.LocalBytes < 0 {
		errs = append(errs, fmt.Errorf("local retention: %v, %v, %d bytes: negative", c.Grace, c.LocalAge, c.LocalBytes))
	}
	if c.Poll <= 0 || c.RetryFirst <= 0 || c.RetryMax < c.RetryFirst {
		errs = append(errs, fmt.Errorf("poll %v, retry_first %v, retry_max %v", c.Poll, c.RetryFirst, c.RetryMax))
	}
	return errors.Join(errs...)
}

// memory is how many bytes a seal holds beside its index of the segment.
func (c Config) memory() int64 {
	return int64(c.Upload.Concurrency+1)*c.Upload.PartSize + int64(c.GatherBytes)
}

// Options are the parts of an offloader. All but Events and Budget must be given.
type Options struct {
	Config  Config
	Cluster string // prefix of all keys
	Source  Source
	Store   tiering.ObjectStore
	Caps    tiering.Capabilities // of Store, as its probe found them
	Meta    *meta.Client
	Clock   clock.Clock
	Rand    *rand.Rand // names of objects and jitter; seeded from the system's randomness outside of tests. Owned by the offloader.

	// Class is the retention class of a topic at the time of the seal; that of a topic which is unknown or
	// deleted should be the shortest. It may be called for every queue of a segment.
	Class func(message.TopicID) segment.Class

	Budget *Budget // shared by the offloaders of a process; nil: no bound but one seal of this shard
	Logger *slog.Logger
	Events Events
}

// Events are the moments that logs, metrics and tests listen to. Nil functions are skipped. They are called by Run's
// goroutine and must return soon.
type Events struct {
	Claimed  func(epoch message.Epoch, sequence uint64)
	Sealed   func(Sealed)
	Trimmed  func(Segment)
	Backlog  func(segments int, bytes int64) // full segments that are not sealed yet
	Failed   func(step Step, err error, attempt int, wait time.Duration)
	Recorded func(step Step) // a step of a seal is durable
}

// Sealed describes a finished seal.
type Sealed struct {
	Seal

	Objects     int
	Records     uint64
	RawBytes    uint64        // of records
	StoredBytes int64         // of objects and snapshot
	MetaBytes   int64         // written into the metadata store: head and values
	Puts        int           // uploads: parts and whole objects
	Took        time.Duration // of the attempt that committed, up to here
}

// Step is a part of the offloader's work, for events.
type Step string

// The steps.
const (
	StepClaim   Step = "claim"
	StepObjects Step = "objects"
	StepHead    Step = "head"
	StepEntry   Step = "entry"
	StepDerive  Step = "derive"
	StepTrim    Step = "trim"
	StepList    Step = "list"
)
