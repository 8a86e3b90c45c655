// Command torture proves that the broker keeps its word: it ends the built binary in every way that there
// is, under load, and checks after each restart that what was acknowledged is there.
//
//	go run ./torture kill -cycles 100       kill -9 at random moments and at every failpoint
//	go run ./torture powercut -cycles 50    power cuts, on a file system of its own (needs root)
//	go run ./torture planted                builds with a planted bug, each of which must be caught
//	go run ./torture disk                   a disk that fails, fills up, lies or is cut short (needs root)
//
// The exit code is 0 only if nothing was lost, everything that should have happened did, and every
// planted bug was caught. docs/reliability.md says what each loop proves.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are what all loops can be told.
type options struct {
	cycles  int
	round   int           // cycles on one data folder
	life    time.Duration // mean time under load
	seed    uint64
	dir     string // scratch
	binary  string
	point   string // failpoint that every turn goes to; empty: all of them take turns
	tags    string // build tags of the broker: planted bugs
	ledger  string // file to which a line is added
	rewrite bool
	commit  string // of the repository when the loop began
	out     io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("want one of kill, powercut, planted, disk; see go doc ./torture")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	o := options{out: out}
	flags := flag.NewFlagSet("torture "+args[0], flag.ContinueOnError)
	flags.IntVar(&o.cycles, "cycles", 100, "how many times the broker is ended")
	flags.IntVar(&o.round, "round", 100, "cycles on one data folder, after which a new one begins")
	flags.DurationVar(&o.life, "life", 800*time.Millisecond, "mean time under load before the end")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano())&0xffffff, "what all choices follow from")
	flags.StringVar(&o.dir, "dir", "", "folder for data (default: a temporary one, removed if all is well)")
	flags.StringVar(&o.binary, "binary", "", "broker to torture (default: built from this repository)")
	flags.StringVar(&o.point, "point", "", "kill, powercut: the one failpoint to end at, to look at it alone")
	flags.StringVar(&o.tags, "tags", "", "build tags of the broker, to see a planted bug caught")
	flags.StringVar(&o.ledger, "ledger", "", "file to which a line about the run is added, such as reliability/ledger.jsonl")
	flags.BoolVar(&o.rewrite, "rewrite", false, "disk: write the golden files anew")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	commands := map[string]func(context.Context, *options) error{
		"kill": kill, "powercut": powercut, "planted": planted, "disk": disk,
	}
	command := commands[args[0]]
	if command == nil || flags.NArg() > 0 {
		return errUsage
	}
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "torture-")
		if err != nil {
			return err
		}
		o.dir = dir
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	o.commit = commit(ctx)
	if err := command(ctx, &o); err != nil {
		return fmt.Errorf("%s: %w\nseed %d; what it left is in %s", args[0], err, o.seed, o.dir)
	}
	return os.RemoveAll(o.dir)
}

// build makes the binary, unless one was given.
func (o *options) build(ctx context.Context) (string, error) {
	if o.binary != "" && o.tags == "" {
		return filepath.Abs(o.binary)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(o.dir, "strata")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", o.tags, "-o", path, "./cmd/strata")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the broker: %w\n%s", err, text)
	}
	return path, nil
}

// commit names the commit that is checked out.
func commit(ctx context.Context) string {
	text, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func (o *options) printf(format string, args ...any) { fmt.Fprintf(o.out, format, args...) }
