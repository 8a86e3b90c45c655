package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// runLimit is the longest that one program may take for all cases. The slowest takes four minutes against a
	// server whose long polls are 20 s.
	runLimit = 8 * time.Minute
	// exitLimit is the longest from a program's last line to its end: ending is part of a clean shutdown.
	exitLimit = 20 * time.Second
)

// verdict is one cell of the table.
type verdict struct {
	state  string // PASS, FAIL or SKIP
	reason string // of a FAIL or SKIP
}

// parseLine reads a line of a program's output; the clients' own log lines, which may be in between, are not ok.
func parseLine(line string) (name string, v verdict, ok bool) {
	state, rest, _ := strings.Cut(line, " ")
	name, reason, _ := strings.Cut(rest, ": ")
	switch {
	case name == "" || strings.ContainsAny(name, " \t"):
		return "", verdict{}, false
	case state == "PASS" && reason == "":
	case (state == "FAIL" || state == "SKIP") && reason != "":
	default:
		return "", verdict{}, false
	}
	return name, verdict{state, reason}, true
}

// target is the broker as the programs see it.
type target struct {
	endpoint          string
	caFile            string // certificate that the endpoint shows, PEM
	pollSeconds       int    // long poll that simple consumers ask for
	serverPollSeconds int    // long poll that the server tells push consumers
	reference         bool   // a RocketMQ, whose known differences are forgiven
	runID             string
}

// execute runs one program to its end and returns a verdict for each of its cases. Its output and the logs of the
// client stay in the folder home.
func (r run) execute(ctx context.Context, t target, cache, home string) (verdicts map[string]verdict, err error) {
	if err := os.MkdirAll(home, 0o755); err != nil {
		return nil, err
	}
	limit := runLimit
	if seconds, err := strconv.Atoi(os.Getenv("STRATA_IDLE_SECONDS")); err == nil && slices.Contains(r.cases, idleCase) {
		limit += time.Duration(seconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	argv := r.client.command(cache, home)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = home
	cmd.Env = append(os.Environ(), r.environment(t, cache, home)...)
	// A group of its own, so that whatever the program started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second

	stderr, err := os.Create(filepath.Join(home, "stderr.txt"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stderr.Close()) }()
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}

	verdicts, lastLine, readErr := r.read(stdout, filepath.Join(home, "stdout.txt"), func() {
		time.AfterFunc(exitLimit, cancel)
	})
	exit := cmd.Wait()
	r.judge(verdicts, exit, time.Since(lastLine))
	if readErr != nil {
		return verdicts, fmt.Errorf("output of %s: %w", r, readErr)
	}
	return verdicts, nil
}

func (r run) environment(t target, cache, home string) []string {
	tls, reference := "0", "0"
	poll := t.pollSeconds
	if r.tls {
		tls = "1"
	}
	if t.reference {
		reference = "1"
		if r.client.language == "rust" {
			// Its deadline is the poll itself, and RocketMQ refuses a poll of 5 s with a deadline of 5 s.
			poll = 20
		}
	}
	return append(r.client.environment(cache),
		"HOME="+home,
		"STRATA_ENDPOINT="+t.endpoint,
		"STRATA_TOPIC_PREFIX="+r.prefix(),
		"STRATA_TLS="+tls,
		"STRATA_CA="+t.caFile,
		"STRATA_CASES="+strings.Join(r.cases, ","),
		"STRATA_RUN="+t.runID,
		fmt.Sprintf("STRATA_POLL_SECONDS=%d", poll),
		fmt.Sprintf("STRATA_SERVER_POLL_SECONDS=%d", t.serverPollSeconds),
		"STRATA_REFERENCE="+reference,
	)
}

// read collects the verdicts until the program closes its output, and calls done after the line of the last case.
func (r run) read(stdout io.Reader, copyTo string, done func()) (verdicts map[string]verdict, lastLine time.Time, err error) {
	verdicts, lastLine = map[string]verdict{}, time.Now()
	file, err := os.Create(copyTo)
	if err != nil {
		return verdicts, lastLine, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewScanner(io.TeeReader(stdout, file))
	lines.Buffer(nil, 16<<20) // a failure may quote a body
	for lines.Scan() {
		name, v, ok := parseLine(lines.Text())
		if !ok {
			continue
		}
		if _, twice := verdicts[name]; twice {
			v = verdict{"FAIL", "reported twice"}
		}
		verdicts[name] = v
		lastLine = time.Now()
		if name == r.cases[len(r.cases)-1] {
			done()
		}
	}
	return verdicts, lastLine, lines.Err()
}

// judge adds what the program's lines do not say: cases without a line, skips that are not known, a bad end.
func (r run) judge(verdicts map[string]verdict, exit error, ending time.Duration) {
	failed := false
	for _, name := range r.cases {
		v, ok := verdicts[name]
		switch {
		case !ok:
			v = verdict{"FAIL", fmt.Sprintf("no line; the process ended with %s", status(exit))}
		case v.state == "SKIP" && !r.client.maySkip(name, r.tls):
			v = verdict{"FAIL", "skipped, which is not in the list of known skips: " + v.reason}
		}
		verdicts[name] = v
		failed = failed || v.state == "FAIL"
	}
	last := r.cases[len(r.cases)-1]
	switch {
	case failed:
	case ending > exitLimit:
		verdicts[last] = verdict{"FAIL", fmt.Sprintf("the process did not end within %s of its last line", exitLimit)}
	case exit != nil:
		verdicts[last] = verdict{"FAIL", "all cases passed, but the process ended with " + status(exit)}
	}
}

func status(exit error) string {
	if exit == nil {
		return "status 0"
	}
	if e, ok := errors.AsType[*exec.ExitError](exit); ok {
		return e.String()
	}
	return exit.Error()
}
