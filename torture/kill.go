package main

import (
	"cmp"
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
	hits string
	life time.Duration

	lives    int
	at       map[string]int // kills at each failpoint
	armed    string
	outside  int
	torn     int
	problems error
}

// kill is the loop of kill -9.
func kill(ctx context.Context, o *options) error {
	binary, err := o.build(ctx)
	if err != nil {
		return err
	}
	k := &killer{hits: filepath.Join(o.dir, "hits"), life: o.life, at: make(map[string]int)}
	s := new(sums)
	began := time.Now()
	for n := 0; n*o.round < o.cycles && err == nil; n++ {
		k.dir = filepath.Join(o.dir, fmt.Sprintf("data-%d", n))
		err = o.newRound(k, binary, k.hits, n, s).run(ctx, min(o.round, o.cycles-n*o.round))
		if err == nil {
			err = os.RemoveAll(k.dir)
		}
	}
	took := time.Since(began)
	s.print(o, "kill", took)
	hits, hitsErr := broker.Hits(k.hits)
	o.printf("  kills        %d from outside, %d at %d failpoints, %d torn tails\n", k.outside, total(k.at), len(k.at), k.torn)
	o.printf("  failpoints   hits and kills of each, hits to within a factor of 2\n")
	var missed []string
	for _, name := range slices.Sorted(maps.Keys(hits)) {
		o.printf("    %-40s %9d %5d\n", name, hits[name], k.at[name])
		if hits[name] == 0 {
			missed = append(missed, name)
		}
	}
	err = s.result(err)
	switch {
	case err != nil: // the loop ended early, so what it missed says nothing
	case len(missed) > 0:
		err = fmt.Errorf("failpoints never hit: %v", missed)
	case k.outside == 0 || total(k.at) == 0:
		err = errors.New("no kill from outside, or none at a failpoint")
	}
	faults := map[string]int{"kill": k.outside, "failpoint": total(k.at), "torn": k.torn}
	return errors.Join(err, k.problems, hitsErr, o.record(ctx, "kill", s, faults, took))
}

func total(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}

func (k *killer) dataDir() string { return k.dir }

// next takes turns: every second life waits for the failpoint that has seen the fewest kills, after one of
// the hits that it has in a usual life; every tenth ends while it starts.
func (k *killer) next(rng *rand.Rand) ending {
	k.armed = ""
	k.lives++
	after := time.Duration(float64(k.life) * (0.2 + 1.6*rng.Float64()))
	hits, err := broker.Hits(k.hits)
	if err != nil {
		k.problems = err
		return ending{after: after}
	}
	switch {
	case k.lives%10 == 3:
		return ending{after: -time.Duration(rng.Int64N(int64(150*time.Millisecond)) + 1)}
	case k.lives%2 == 0 && len(hits) > 0:
		names := slices.Collect(maps.Keys(hits))
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(k.at[a], k.at[b]), cmp.Compare(b, a))
		})
		few := 0
		for few < len(names) && k.at[names[few]] == k.at[names[0]] {
			few++
		}
		k.armed = names[rng.IntN(few)]
		usual := max(hits[k.armed]/int64(k.lives)/2, 1)
		return ending{failpoints: fmt.Sprintf("%s=kill@%d", k.armed, 1+rng.Int64N(min(usual, 50))), after: overtime * after}
	}
	return ending{after: after}
}

func (k *killer) end(b *broker.Broker, rng *rand.Rand) error {
	select {
	case <-b.Done():
		if k.armed != "" && b.Killed() {
			k.at[k.armed]++
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
