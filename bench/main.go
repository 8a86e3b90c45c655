package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings of a run.
type settings struct {
	strata      string
	out         string
	rows        []string // empty: all that belong to the run
	peers       bool
	quick       bool
	rounds      int
	warm        time.Duration
	window      time.Duration
	connections int
	profile     string
	bulk        int64 // bytes of the log in the rows that need a full segment
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case echoCommand:
			return serveEcho(ctx, args[1])
		case "report":
			return runReport(args[1:], stdout, stderr)
		}
	}
	s, err := parseSettings(args, stderr)
	if err != nil {
		return err
	}
	report, err := measureAll(ctx, s, stderr)
	if err != nil {
		return err
	}
	if err := report.write(s.out); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\nwritten to %s\n", report.table(english), s.out)
	for _, row := range report.Rows {
		if reason := row.incomplete(); reason != "" {
			err = errors.Join(err, fmt.Errorf("row %s was not measured: %s", row.ID, reason))
		}
	}
	return err
}

func parseSettings(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.strata, "strata", "bin/strata", "the built broker")
	flags.StringVar(&s.out, "out", "bench/out.json", "where the JSON goes")
	rows := flags.String("rows", "", "only these rows, separated by commas: "+strings.Join(rowNames(), ", "))
	flags.BoolVar(&s.peers, "peers", false, "measure a real RocketMQ 5 beside the broker, and nothing else")
	flags.BoolVar(&s.quick, "quick", false, "a smoke run of less than a minute: every row has a number, and none means anything")
	flags.IntVar(&s.rounds, "rounds", 5, "rounds per row")
	flags.DurationVar(&s.window, "window", 3*time.Second, "what is counted of each side in a round")
	flags.DurationVar(&s.warm, "warm", time.Second, "load before each window")
	flags.IntVar(&s.connections, "connections", 1, "connections that the callers share, of the echo and of the broker alike")
	flags.StringVar(&s.profile, "profile", "", "write CPU profiles of the broker during each window into this `folder`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("what is %q? There are flags, and the command report", flags.Arg(0))
	}
	s.bulk = 1 << 30
	if s.quick {
		s.rounds, s.window, s.warm, s.bulk = 1, 500*time.Millisecond, 200*time.Millisecond, 16<<20
	}
	if s.rounds < 1 || s.window < 100*time.Millisecond || s.connections < 1 {
		return s, errors.New("at least one round, 100ms and one connection are needed")
	}
	if *rows != "" {
		s.rows = strings.Split(*rows, ",")
		for _, name := range s.rows {
			if !slices.Contains(rowNames(), name) {
				return s, fmt.Errorf("no row %q; there are %s", name, strings.Join(rowNames(), ", "))
			}
		}
	}
	return s, nil
}

// bench is a run.
type bench struct {
	settings settings
	scratch  string // a folder on a disk, removed at the end
	echo     *echoServer
	store    *objectStore       // nil before a row needs it
	sealed   map[string]*sealed // by bucket
	stderr   io.Writer
	now      func() time.Time
}

func (b *bench) logf(format string, args ...any) { fmt.Fprintf(b.stderr, format+"\n", args...) }

// measureAll measures the rows that were asked for. A row that fails is in the report with its reason.
func measureAll(ctx context.Context, s settings, stderr io.Writer) (*Report, error) {
	if _, err := os.Stat(s.strata); err != nil {
		return nil, fmt.Errorf("the broker is not built (make build): %w", err)
	}
	var err error
	if s.strata, err = filepath.Abs(s.strata); err != nil {
		return nil, err
	}
	// Not the system's temporary folder: that may be memory.
	base, err := filepath.Abs(filepath.Join(".cache", "bench"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(base, 0o750); err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // the next run makes its own

	b := &bench{settings: s, scratch: scratch, stderr: stderr, now: time.Now, sealed: map[string]*sealed{}}
	report := &Report{Started: b.now(), Quick: s.quick, Rounds: s.rounds, Revision: revision()}
	if report.Machine, err = describeMachine(scratch); err != nil {
		return nil, err
	}
	if b.echo, err = startEcho(ctx, s.connections); err != nil {
		return nil, err
	}
	defer b.echo.stop()
	defer func() {
		if b.store != nil {
			b.store.server.Close()
		}
	}()
	for _, r := range rows {
		if s.wants(r) {
			report.Rows = append(report.Rows, b.measure(ctx, r))
		}
	}
	report.Seconds = b.now().Sub(report.Started).Seconds()
	return report, context.Cause(ctx)
}

// wants says whether a row belongs to the run.
func (s *settings) wants(r rowSpec) bool {
	if len(s.rows) > 0 {
		return slices.Contains(s.rows, r.id)
	}
	return r.peer == s.peers
}

func (b *bench) measure(ctx context.Context, spec rowSpec) *Row {
	row := &Row{ID: spec.id, Path: spec.path, Started: b.now()}
	b.logf("%s: %s", spec.id, spec.path)
	if err := spec.measure(b, ctx, row); err != nil {
		row.Failure = err.Error()
		b.logf("  failed: %v", err)
	}
	row.Seconds = b.now().Sub(row.Started).Seconds()
	return row
}
