package history

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
)

// Config holds the bounds of a history. All sizes are in bytes.
type Config struct {
	BlockCache     int64 // decoded blocks
	WindowCache    int64 // raw ranges that were read and whose blocks have not all been used
	DirectoryCache int64 // directories, consumeQueue and index values, runs: each of the four on its own
	StreamCache    int64 // blocks in which sequential readers stand

	Window    int64 // the largest range of one request, for a reader that goes on and on
	InFlight  int64 // ranges being fetched at once; one larger than all of it is fetched alone
	ReadAhead bool  // fetch the next range while the last one is being used
	Rate      int64 // per second, of what sequential readers fetch; 0: no bound. Seeks are not slowed down.

	Parallel       int           // manifest entries, values or posting pages that are fetched at once
	RequestTimeout time.Duration // of one range, the wait for its turn included
}

// DefaultConfig fits a proxy with half a gigabyte.
func DefaultConfig() Config {
	return Config{
		BlockCache: 64 << 20, WindowCache: 48 << 20, DirectoryCache: 16 << 20, StreamCache: 16 << 20,
		Window: 8 << 20, InFlight: 64 << 20, ReadAhead: true, Parallel: 16, RequestTimeout: time.Minute,
	}
}

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if c.BlockCache < 1<<20 || c.WindowCache < 1<<20 || c.DirectoryCache < 1<<16 || c.StreamCache < 1<<16 {
		errs = append(errs, fmt.Errorf("caches of %d, %d, %d, %d bytes are too small", c.BlockCache, c.WindowCache, c.DirectoryCache, c.StreamCache))
	}
	if c.Window < 64<<10 || c.Window > 1<<30 {
		errs = append(errs, fmt.Errorf("window: %d is outside 64 KiB to 1 GiB", c.Window))
	}
	if c.InFlight < c.Window {
		errs = append(errs, fmt.Errorf("in_flight: %d is less than a window of %d", c.InFlight, c.Window))
	}
	if c.Rate < 0 || c.Parallel < 1 || c.RequestTimeout <= 0 {
		errs = append(errs, fmt.Errorf("rate %d, parallel %d, request_timeout %v", c.Rate, c.Parallel, c.RequestTimeout))
	}
	return errors.Join(errs...)
}

// Options are the parts of a history. All must be given.
type Options struct {
	Config  Config
	Cluster string // prefix of all keys
	Store   tiering.ObjectStore
	Meta    meta.Store // read only; what it does not have is read from the bucket
	Clock   clock.Clock
	Logger  *slog.Logger
}
