package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stratamq/stratamq/torture/broker"
	"github.com/stratamq/stratamq/torture/ledger"
	"github.com/stratamq/stratamq/torture/load"
)

// drainTimeout bounds how long the groups may take for what is left at the end of a round.
const drainTimeout = 90 * time.Second

// ending is how one life of the broker ends.
type ending struct {
	failpoints string        // armed in the process; it may end by itself
	after      time.Duration // of load, if it has not ended by then; negative: while it starts
	hung       func() bool   // the process has come to a point where it hangs, so the end is due; nil: never asked
}

// machine is where the broker lives and what a loop does to it.
type machine interface {
	// dataDir is the folder that a broker of this round starts in, whole and mounted.
	dataDir() string
	// next says how the next life ends.
	next(rng *rand.Rand) ending
	// end ends a broker that lives, or has ended itself, and makes the machine ready for the next one.
	end(b *broker.Broker, rng *rand.Rand) error
}

// sums are what the rounds of a loop did.
type sums struct {
	ledger.Totals
	cycles, starting, sealed, trimmed int
	lost, cold, checked               int64
	perCycle                          []int64 // acknowledged
	slowest                           time.Duration
	violations                        []ledger.Violation
}

// flags make everything small, so that seals and trims happen all the time.
var flags = []string{
	"--segment-size=1MiB", "--local-retention=300ms", "--disk-mark=0B", "--log-level=warn",
}

// round is one data folder with its ledger.
type round struct {
	*options
	machine machine
	binary  string
	hits    string
	rng     *rand.Rand
	ledger  *ledger.Ledger
	load    *load.Load
	config  load.Config
	sums    *sums
	lives   uint64
}

func (o *options) newRound(m machine, binary, hits string, number int, s *sums) *round {
	seed := o.seed + uint64(number)<<24
	r := &round{
		options: o, machine: m, binary: binary, hits: hits, sums: s,
		rng: rand.New(rand.NewPCG(seed, 1)), ledger: ledger.New(seed), config: load.DefaultConfig(seed),
	}
	r.load = load.New(r.config, r.ledger)
	return r
}

// run goes through lives until n of them have ended the hard way, then through a last one that reads
// everything and lets every group finish.
func (r *round) run(ctx context.Context, n int) error {
	defer func() { r.sums.add(r.ledger.Totals()) }()
	if err := r.setUp(ctx); err != nil {
		return err
	}
	for range n {
		if err := r.cycle(ctx); err != nil {
			return errors.Join(err, r.broken())
		}
		if err := r.broken(); err != nil {
			return err
		}
	}
	return errors.Join(r.finish(ctx), r.broken(), ctx.Err())
}

// broken is an error if the ledger has a violation.
func (r *round) broken() error {
	n, found := r.ledger.Violations()
	if n == 0 {
		return nil
	}
	r.sums.violations = append(r.sums.violations, found...)
	var text strings.Builder
	for _, v := range found[:min(len(found), 10)] {
		text.WriteString("\n  " + v.String())
	}
	return fmt.Errorf("life %d: %d promises broken:%s", r.lives, n, text.String())
}

// start starts a broker. It is nil without an error if it was killed before it was ready.
func (r *round) start(ctx context.Context, failpoints string) (*broker.Broker, error) {
	r.lives++
	b, err := broker.Start(ctx, broker.Options{
		Binary: r.binary, DataDir: r.machine.dataDir(), Flags: flags, Failpoints: failpoints, Hits: r.hits,
	})
	if errors.Is(err, broker.ErrDied) && failpoints != "" && b.Killed() {
		r.sums.starting++
		return nil, r.machine.end(b, r.rng)
	}
	if err != nil && hung(ctx) && b != nil {
		r.sums.starting++
		return nil, r.machine.end(b, r.rng)
	}
	if err != nil {
		r.ledger.Report("F1", "life %d does not start: %v", r.lives, err)
		return nil, err
	}
	r.sums.slowest = max(r.sums.slowest, b.Took)
	return b, nil
}

// setUp creates topics and groups.
func (r *round) setUp(ctx context.Context) error {
	b, err := r.start(ctx, "")
	if err != nil {
		return err
	}
	for _, topic := range r.config.Topics {
		if err := b.Admin().CreateTopic(ctx, topic, r.config.Queues); err != nil {
			return err
		}
	}
	for _, g := range r.config.Groups {
		if err := b.Admin().CreateGroup(ctx, g.Name, g.MaxAttempts); err != nil {
			return err
		}
	}
	return r.machine.end(b, r.rng)
}

// cycle is one life: start, check what the last end left, load, end.
func (r *round) cycle(ctx context.Context) error {
	before := r.ledger.Totals().Acked
	e := r.machine.next(r.rng)
	r.sums.cycles++
	lifeCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go e.watch(lifeCtx, stop)
	b, err := r.startFor(lifeCtx, e)
	if b == nil || err != nil {
		r.sums.perCycle = append(r.sums.perCycle, 0)
		return err
	}
	result, err := r.load.Check(lifeCtx, b.GRPC, r.rng, false)
	r.sums.checked += result.Read
	if err != nil && !hung(lifeCtx) && !endsSoon(b) {
		return fmt.Errorf("check: %w\n%s", err, b.Dump())
	}
	done := make(chan error, 1)
	go func() { done <- r.load.Run(lifeCtx, b.GRPC, r.lives) }()
	select {
	case <-b.Done():
	case <-lifeCtx.Done():
	case <-time.After(e.after):
	}
	alive := !ended(b)
	err = r.machine.end(b, r.rng)
	stop(nil)
	if err := errors.Join(err, <-done, ctx.Err()); err != nil {
		return err
	}
	if !alive && !b.Killed() {
		r.ledger.Report("F1", "life %d ended by itself: %s", r.lives, b.Output())
	}
	r.sums.perCycle = append(r.sums.perCycle, r.ledger.Totals().Acked-before)
	return nil
}

// errHung ends a life whose process hangs at a failpoint.
var errHung = errors.New("the process hangs at its failpoint")

// answersAfterHang is how long answers that do not depend on what hangs have to reach their callers.
const answersAfterHang = 50 * time.Millisecond

// watch stops the life a moment after the process has begun to hang.
func (e *ending) watch(ctx context.Context, stop context.CancelCauseFunc) {
	if e.hung == nil {
		return
	}
	for !e.hung() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(answersAfterHang):
		stop(errHung)
	}
}

func hung(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errHung) }

// startFor starts a broker for a life that ends as e says; one that ends while it starts is nil.
func (r *round) startFor(ctx context.Context, e ending) (*broker.Broker, error) {
	if e.after >= 0 {
		return r.start(ctx, e.failpoints)
	}
	r.sums.starting++
	r.lives++
	starting, cancel := context.WithTimeout(ctx, -e.after)
	defer cancel()
	b, err := broker.Start(starting, broker.Options{
		Binary: r.binary, DataDir: r.machine.dataDir(), Flags: flags, Hits: r.hits,
	})
	if errors.Is(err, broker.ErrDied) {
		r.ledger.Report("F1", "life %d does not start: %v", r.lives, err)
		return nil, err
	}
	if b == nil {
		return nil, err
	}
	return nil, r.machine.end(b, r.rng)
}

func ended(b *broker.Broker) bool {
	select {
	case <-b.Done():
		return true
	default:
		return false
	}
}

// endsSoon waits a moment for the end of a broker whose connections have broken.
func endsSoon(b *broker.Broker) bool {
	select {
	case <-b.Done():
		return true
	case <-time.After(2 * time.Second):
		return false
	}
}

// finish is the last life: everything is read again, from every tier, and every group finishes.
func (r *round) finish(ctx context.Context) error {
	b, err := r.start(ctx, "")
	if err != nil {
		return err
	}
	defer b.Kill()
	result, err := r.load.Check(ctx, b.GRPC, r.rng, true)
	r.sums.checked += result.Read
	r.sums.lost += result.Lost
	if err != nil {
		return fmt.Errorf("last check: %w\n%s", err, b.Output())
	}
	for _, topic := range r.config.Topics {
		cold, err := b.Admin().FirstLocal(ctx, topic)
		if err != nil {
			return err
		}
		for _, first := range cold {
			r.sums.cold += first // all of them have just been read
		}
	}
	drainCtx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := r.load.Drain(drainCtx, b.GRPC, b.Admin().Lag); err != nil {
		return fmt.Errorf("drain: %w\n%s", err, b.Output())
	}
	sealed, trimmed, err := b.Admin().Segments(ctx)
	if err != nil {
		return err
	}
	r.sums.sealed += sealed
	r.sums.trimmed += trimmed
	b.Stop()
	if b.ExitCode() != 0 {
		return fmt.Errorf("the last life stopped with code %d\n%s", b.ExitCode(), b.Output())
	}
	return nil
}

func (s *sums) add(t ledger.Totals) {
	s.Sent += t.Sent
	s.Acked += t.Acked
	s.Refused += t.Refused
	s.Unknown += t.Unknown
	s.Returned += t.Returned
	s.Reads += t.Reads
	s.Delivered += t.Delivered
	s.Settled += t.Settled
	s.Again += t.Again
	s.DeadLetters += t.DeadLetters
	s.Violations += t.Violations
}

// median of what was acknowledged per cycle.
func (s *sums) median() int64 {
	if len(s.perCycle) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.perCycle))
	return sorted[len(sorted)/2]
}

// print says what a loop did.
func (s *sums) print(o *options, what string, took time.Duration) {
	o.printf("%s: %d cycles in %.0f s (seed %d), %d of them while it started; slowest start %s\n",
		what, s.cycles, took.Seconds(), o.seed, s.starting, s.slowest.Round(time.Millisecond))
	o.printf("  sends        %d: %d acknowledged (median %d per cycle), %d refused, %d unknown, of which %d were there\n",
		s.Sent, s.Acked, s.median(), s.Refused, s.Unknown, s.Returned)
	o.printf("  consumers    %d deliveries, %d again, %d acknowledged, %d dead letters\n", s.Delivered, s.Again, s.Settled, s.DeadLetters)
	o.printf("  tiers        %d seals, %d trims, %d messages read from the bucket\n", s.sealed, s.trimmed, s.cold)
	o.printf("  reads        %d, of which %d after restarts\n", s.Reads, s.checked)
	o.printf("  lost         %d; with no loss in %d cycles at most one cycle in %.0f loses something (95 %%: rate <= 3/N = %.4f)\n",
		s.lost, s.cycles, 1/ledger.Bound(s.cycles), ledger.Bound(s.cycles))
}

// prove is an error if something that the loop is for never happened.
func (s *sums) prove() error {
	var errs []error
	for _, c := range []struct {
		what string
		n    int64
	}{
		{"cycles", int64(s.cycles)},
		{"acknowledged sends", s.Acked},
		{"refused sends", s.Refused},
		{"unknown sends", s.Unknown},
		{"deliveries", s.Delivered},
		{"deliveries again", s.Again},
		{"acknowledged messages", s.Settled},
		{"dead letters", s.DeadLetters},
		{"seals", int64(s.sealed)},
		{"trims", int64(s.trimmed)},
		{"cold reads", s.cold},
		{"acknowledged sends in the median cycle", s.median()},
	} {
		if c.n == 0 {
			errs = append(errs, fmt.Errorf("no %s: the loop proves nothing about them", c.what))
		}
	}
	return errors.Join(errs...)
}

// result is err, or what prove says if there is none.
func (s *sums) result(err error) error {
	if err != nil {
		return err
	}
	return s.prove()
}

// record adds the run to the file of all runs, if asked.
func (o *options) record(what string, s *sums, faults map[string]int, took time.Duration) error {
	if o.ledger == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.ledger), 0o755); err != nil {
		return err
	}
	var dup int64
	for _, v := range s.violations {
		if v.Invariant == "I1" {
			dup++
		}
	}
	line := ledger.Line{
		Run: what, Commit: o.commit, Seed: o.seed, Faults: faults, Acked: s.Acked, Lost: s.lost,
		Dup: max(dup-s.lost, 0), Broken: s.Violations, Seconds: took.Seconds(),
	}
	return line.Append(o.ledger)
}
