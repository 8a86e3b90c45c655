package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stratamq/stratamq/torture/broker"
)

// overtime is how much longer a life lasts that waits for a failpoint than one that ends at random.
const overtime = 2

// killer ends a process by SIGKILL: from outside at a random moment, or at a failpoint.
type killer struct {
	dir  string
	life time.Duration
	plan schedule

	outside int
	torn    int
}

// kill is the loop of kill -9.
func kill(ctx context.Context, o *options) error {
	binary, err := o.build(ctx)
	if err != nil {
		return err
	}
	hitsFile := filepath.Join(o.dir, "hits")
	k := &killer{life: o.life, plan: o.newSchedule(hitsFile)}
	s := new(sums)
	began := time.Now()
	for n := 0; n*o.round < o.cycles && err == nil; n++ {
		k.dir = filepath.Join(o.dir, fmt.Sprintf("data-%d", n))
		err = o.newRound(k, binary, hitsFile, n, s).run(ctx, min(o.round, o.cycles-n*o.round))
		if err == nil {
			err = os.RemoveAll(k.dir)
		}
	}
	took := time.Since(began)
	s.print(o, "kill", took)
	hits, hitsErr := broker.Hits(hitsFile)
	o.printf("  kills        %d from outside, %d at %d failpoints, %d torn tails\n", k.outside, total(k.plan.at), len(k.plan.at), k.torn)
	o.printf("  failpoints   hits and kills of each, hits to within a factor of 2\n")
	var missed []string
	for _, name := range slices.Sorted(maps.Keys(hits)) {
		o.printf("    %-40s %9d %5d\n", name, hits[name], k.plan.at[name])
		if hits[name] == 0 {
			missed = append(missed, name)
		}
	}
	err = s.result(err)
	switch {
	case err != nil: // the loop ended early, so what it missed says nothing
	case len(missed) > 0:
		err = fmt.Errorf("failpoints never hit: %v", missed)
	case k.outside == 0 || total(k.plan.at) == 0:
		err = errors.New("no kill from outside, or none at a failpoint")
	}
	faults := map[string]int{"kill": k.outside, "failpoint": total(k.plan.at), "torn": k.torn}
	return errors.Join(err, k.plan.problem, hitsErr, o.record("kill", s, faults, took))
}

func total(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

func (k *killer) dataDir() string { return k.dir }

// next takes turns: every second life waits for a failpoint, every tenth ends while it starts.
func (k *killer) next(rng *rand.Rand) ending {
	k.plan.armed = ""
	k.plan.lives++
	after := time.Duration(float64(k.life) * (0.2 + 1.6*rng.Float64()))
	switch {
	case k.plan.lives%10 == 3:
		return ending{after: -time.Duration(rng.Int64N(int64(150*time.Millisecond)) + 1)}
	case k.plan.lives%2 == 0:
		if point, n := k.plan.choose(rng); point != "" {
			return ending{failpoints: fmt.Sprintf("%s=kill@%d", point, n), after: overtime * after}
		}
	}
	return ending{after: after}
}

func (k *killer) end(b *broker.Broker, rng *rand.Rand) error {
	select {
	case <-b.Done():
		if b.Killed() {
			k.plan.came()
		}
	default:
		k.outside++
		b.Kill()
	}
	if rng.IntN(6) > 0 {
		return nil
	}
	torn, err := tear(k.dir, rng)
	if torn {
		k.torn++
	}
	return err
}
