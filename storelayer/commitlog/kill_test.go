package commitlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/failpoint"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
)

const (
	envChildDir   = "STRATA_COMMITLOG_TEST_DIR"
	envChildEpoch = "STRATA_COMMITLOG_TEST_EPOCH"
)

// TestMain is also the program that is killed: with the folder set it appends to the log there until it dies.
func TestMain(m *testing.M) {
	dir := os.Getenv(envChildDir)
	if dir == "" {
		goleak.VerifyTestMain(m)
		return
	}
	if err := errors.Join(failpoint.Check(), appendUntilKilled(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func killOptions(dir string) Options {
	opts := testOptions(osfs.New(), rand.Uint64())
	opts.Dir, opts.Clock, opts.Create = dir, clock.Real(), true
	return opts
}

// appendUntilKilled appends, rolls and trims, and prints each answer before the next append:
// "position number size", and "trim position" before a trim.
func appendUntilKilled(dir string) error {
	epoch, err := strconv.ParseUint(os.Getenv(envChildEpoch), 10, 32)
	if err != nil {
		return err
	}
	ctx := context.Background()
	l, err := Open(ctx, killOptions(dir))
	if err != nil {
		return err
	}
	if err := l.Start(ctx, message.Epoch(epoch), nil); err != nil {
		return err
	}
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx) }()
	for i := range uint64(200) {
		n := epoch<<32 | i
		b := &textBatch{texts: [][]byte{numbered(n, int(i%7)*1500)}}
		if err := l.Append(ctx, b, AckDurable); err != nil {
			return err
		}
		fmt.Println(uint64(b.at[0]), n, len(b.texts[0]))
		if i%20 == 19 {
			l.Roll()
		}
		if i%50 == 49 {
			upTo := l.Segments()[len(l.Segments())-1].Base
			fmt.Println("trim", uint64(upTo))
			if err := l.Trim(ctx, upTo); err != nil {
				return err
			}
		}
	}
	return l.Close()
}

// TestKillAtEveryFailpoint kills a process at each named moment, on a real disk, and checks that
// the next start has what the process had answered.
func TestKillAtEveryFailpoint(t *testing.T) {
	for _, name := range failpoint.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &killed{dir: filepath.Join(t.TempDir(), "log"), sizes: make(map[message.Position]int), numbers: make(map[message.Position]uint64)}
			// The first process leaves a log, and a torn end is put behind it, so that the second one has
			// every step of recovery to go through as well.
			k.run(t, "commitlog/after-sync=kill@60", true)
			for !k.tear(t) {
				k.run(t, "commitlog/after-sync=kill@3", true)
			}
			k.run(t, name+"=kill", true)
			k.run(t, name+"=kill@"+strconv.Itoa(2+rand.IntN(20)), false)
			k.check(t)
		})
	}
}

// killed is a log that processes were killed over, and what they had said.
type killed struct {
	dir     string
	epoch   int
	numbers map[message.Position]uint64
	sizes   map[message.Position]int
	trimmed message.Position
}

// run starts a process that is armed and notes what it says until it dies; must tells that it may not live.
func (k *killed) run(t *testing.T, points string, must bool) {
	t.Helper()
	k.epoch++
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChildDir+"="+k.dir, envChildEpoch+"="+strconv.Itoa(k.epoch), failpoint.EnvPoints+"="+points)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var at, n uint64
		var size int
		if _, err := fmt.Sscanf(lines.Text(), "trim %d", &at); err == nil {
			k.trimmed = message.Position(at)
			continue
		}
		if _, err := fmt.Sscan(lines.Text(), &at, &n, &size); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		k.numbers[message.Position(at)], k.sizes[message.Position(at)] = n, size
	}
	err = cmd.Wait()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	wasKilled := ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	if err != nil && !wasKilled || must && !wasKilled {
		t.Fatalf("%s: process ended with %v\n%s", points, err, stderr.String())
	}
}

// tear writes a piece of a frame behind the last one, as a write that was cut short leaves it, if
// the segment has room for one.
func (k *killed) tear(t *testing.T) bool {
	t.Helper()
	l, err := Open(t.Context(), killOptions(k.dir))
	if err != nil {
		t.Fatal(err)
	}
	s := (*l.segments.Load())[len(*l.segments.Load())-1]
	room := l.Watermark() < s.room()
	if room {
		_, err = s.file.WriteAt([]byte("torn"), s.offset(l.Watermark())+100)
	}
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return room
}

// check reads everything that was answered and not trimmed.
func (k *killed) check(t *testing.T) {
	t.Helper()
	l, err := Open(t.Context(), killOptions(k.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if len(k.numbers) < 20 {
		t.Errorf("only %d records were answered", len(k.numbers))
	}
	for at, n := range k.numbers {
		if at < k.trimmed {
			continue
		}
		_, r, err := l.ReadRecord(nil, at)
		if err != nil {
			t.Errorf("record %d at %d: %v", n, at, err)
			continue
		}
		if got, err := checkNumbered(r.Body); err != nil || got != n || len(r.Body) != k.sizes[at] {
			t.Errorf("record %d at %d is %d: %v", n, at, got, err)
		}
	}
}
