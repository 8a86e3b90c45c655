package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/drivers"
)

// cost is the answer.
type cost struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Bytes   int64   `json:"bytes"` // of the file, or of records
}

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bucket:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if err := keepToOneCore(os.Getenv("STRATA_BENCH_CORE")); err != nil {
		return err
	}
	stop, err := startProfile(os.Getenv("STRATA_BENCH_PROFILE"))
	if err != nil {
		return err
	}
	answer, err := work(ctx, args)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}

func work(ctx context.Context, args []string) (cost, error) {
	if len(args) == 2 && args[0] == "zstd" {
		return compressFile(args[1])
	}
	if len(args) != 3 {
		return cost{}, errors.New("see the package's documentation")
	}
	location, err := tiering.ParseURL(args[1])
	if err != nil {
		return cost{}, err
	}
	store, err := drivers.Open(ctx, location, drivers.DefaultConfig())
	if err != nil {
		return cost{}, err
	}
	defer store.Close() //nolint:errcheck // errcheck: nothing is left to be written
	switch args[0] {
	case "copy":
		return copyFile(ctx, store, args[2])
	case "raw", "read":
		var s spec
		if err := json.Unmarshal([]byte(args[2]), &s); err != nil {
			return cost{}, fmt.Errorf("spec: %w", err)
		}
		if args[0] == "raw" {
			return rawRanges(ctx, store, s)
		}
		return readHistory(ctx, store, s)
	default:
		return cost{}, fmt.Errorf("there is no work %q", args[0])
	}
}

// keepToOneCore binds the process to a core and its Go scheduler to one thread that runs.
func keepToOneCore(text string) error {
	if text == "" {
		return nil
	}
	core, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(1)
	var set unix.CPUSet
	set.Set(core)
	// Threads that come later take it from the one that makes them.
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil {
			return fmt.Errorf("bind to core %d: %w", core, err)
		}
	}
	return nil
}

// startProfile writes a CPU profile to path, if there is one, until stop.
func startProfile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// timer measures from its start.
type timer struct {
	start time.Time
	cpu   time.Duration
}

func startTimer() timer { return timer{time.Now(), usedCPU()} }

func (t timer) cost(bytes int64) cost {
	return cost{time.Since(t.start).Seconds(), (usedCPU() - t.cpu).Seconds(), bytes}
}

// usedCPU returns the CPU time of the process so far.
func usedCPU() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		panic("getrusage of the process itself cannot fail")
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
