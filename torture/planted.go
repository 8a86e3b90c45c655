package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// plantedBug is a bug that a build tag compiles in, and the loop that must catch it.
type plantedBug struct {
	tag  string
	what string
	loop string // the test, or the loop of this command, that must fail
	dir  string // package of the test; empty: the loop "kill"
	seed uint64 // that the loop begins with
	sign string // what its output must have: a build that fails has caught nothing
}

// plantedBugs are all there are. A test compares them with the tags that the source has.
var plantedBugs = []plantedBug{
	{
		"bug_answer_before_sync", "sends are answered after the write, before the sync",
		"TestCrashStates", "./storelayer/commitlog", 1, `is lost: acknowledged true`,
	},
	{
		"bug_cut_at_watermark", "recovery cuts at the proven watermark, whatever whole frame lies behind it",
		"TestCrashStates", "./storelayer/commitlog", 1, `is lost: acknowledged true`,
	},
	{
		"bug_no_dirsync", "the folder is not synced after a new segment got its name",
		"TestCrashStates", "./storelayer/commitlog", 1, `is lost: acknowledged true|no log found`,
	},
	{
		"bug_serve_before_resync", "recovery serves what is only in the page cache",
		"TestCrashStates", "./storelayer/commitlog", 1, `is lost: acknowledged|no log found|damage in`,
	},
	{
		"bug_settle_before_dead_letter", "a message is settled before its copy is in the log",
		"TestDeadLetterCrash", "./storelayer/shard", 0, `is in the queue and its dead letters 0 times`,
	},
	{
		"bug_trim_before_head", "local bytes are removed before the manifest head has moved",
		"kill", "", 3, `I1: message|cannot be read|is lost|does not start`,
	},
}

var failedSeed = regexp.MustCompile(`seed (\d+)`)

// planted builds each bug in and shows that its loop fails.
func planted(ctx context.Context, o *options) error {
	var errs []error
	for _, bug := range plantedBugs {
		began := time.Now()
		text, caught, err := bug.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", bug.tag, err)
		}
		seconds := time.Since(began).Seconds()
		if !caught || !regexp.MustCompile(bug.sign).MatchString(text) {
			errs = append(errs, fmt.Errorf("%s (%s) is NOT caught by %s:\n%s", bug.tag, bug.what, bug.command(), lastLines(text, 30)))
			o.printf("%-32s MISSED in %3.0f s by %s\n", bug.tag, seconds, bug.command())
			continue
		}
		seed := strconv.FormatUint(bug.seed, 10)
		if m := failedSeed.FindStringSubmatch(text); m != nil {
			seed = m[1]
		}
		o.printf("%-32s caught in %3.0f s with seed %s by %s\n", bug.tag, seconds, seed, bug.command())
	}
	if len(errs) == 0 {
		o.printf("planted: %d of %d bugs caught\n", len(plantedBugs), len(plantedBugs))
	}
	return errors.Join(errs...)
}

// command is what a person types to see it caught.
func (b *plantedBug) command() string {
	if b.dir == "" {
		return fmt.Sprintf("go run ./torture kill -tags %s -seed %d", b.tag, b.seed)
	}
	return fmt.Sprintf("go test -tags %s -run %s %s", b.tag, b.loop, b.dir)
}

// run runs the loop with the bug built in and reports whether it failed.
func (b *plantedBug) run(ctx context.Context, o *options) (text string, caught bool, err error) {
	if b.dir == "" {
		var out strings.Builder
		loop := *o
		loop.out, loop.tags, loop.seed, loop.cycles, loop.ledger = &out, b.tag, b.seed, 40, ""
		loop.dir += "/" + b.tag
		err := kill(ctx, &loop)
		if ctx.Err() != nil {
			return "", false, ctx.Err()
		}
		return fmt.Sprint(out.String(), err), err != nil, nil
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-tags", b.tag, "-run", "^"+b.loop+"$", b.dir)
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", false, ctx.Err()
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return "", false, err
	}
	return string(output), err != nil, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
