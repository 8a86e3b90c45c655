package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/stratamq/stratamq/torture/broker"
)

// imageSize is the size of the file system in bytes; its file is sparse.
const imageSize = 2 << 30

// betweenAnswerAndSync is where a broker that answers too early loses what it answered, so it gets every fourth
// of the turns of failpoints.
const betweenAnswerAndSync = "commitlog/before-sync"

// cutter cuts the power of a file system that holds log, metadata and object store together.
type cutter struct {
	ctx   context.Context //nolint:containedctx // of the loop: the machine interface is called within it
	image *image
	life  time.Duration

	hits string
	plan schedule

	armed bool        // this life ends with a cut
	hung  func() bool // the process has come to the failpoint of this life; nil: it has none
	cuts  int
}

// powercut is the loop of power cuts.
func powercut(ctx context.Context, o *options) error {
	binary, err := o.build(ctx)
	if err != nil {
		return err
	}
	hits := filepath.Join(o.dir, "hits")
	c := &cutter{ctx: ctx, life: o.life, hits: hits, plan: o.newSchedule(hits)}
	s := new(sums)
	began := time.Now()
	for n := 0; n*o.round < o.cycles && err == nil; n++ {
		err = c.round(ctx, o, binary, n, s)
	}
	took := time.Since(began)
	s.print(o, "powercut", took)
	o.printf("  power cuts   %d, of which %d while a goroutine hung at one of %d failpoints; acknowledged in each cycle: %v\n",
		c.cuts, total(c.plan.at), len(c.plan.at), s.perCycle)
	err = s.result(err)
	if err == nil && c.cuts < o.cycles {
		err = fmt.Errorf("%d power cuts of %d", c.cuts, o.cycles)
	}
	if err == nil && total(c.plan.at) == 0 {
		err = errors.New("no power cut at a failpoint")
	}
	return errors.Join(err, c.plan.problem, o.record("powercut", s, map[string]int{"powercut": c.cuts, "failpoint": total(c.plan.at)}, took))
}

// round is one file system with its ledger.
func (c *cutter) round(ctx context.Context, o *options, binary string, n int, s *sums) (err error) {
	c.image, err = newImage(ctx, filepath.Join(o.dir, fmt.Sprintf("image-%d", n)), filepath.Join(o.dir, fmt.Sprintf("mount-%d", n)), imageSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.image.close(ctx)) }()
	return o.newRound(c, binary, c.hits, n, s).run(ctx, min(o.round, o.cycles-n*o.round))
}

func (c *cutter) dataDir() string { return filepath.Join(c.image.mount, "data") }

// next takes turns: every second cut comes at a random moment, the other ones when the process has come to a
// failpoint, where the goroutine that came there goes no further. What was promised before the step that
// follows so reaches its callers, and the step does not happen.
func (c *cutter) next(rng *rand.Rand) ending {
	c.armed = true
	c.plan.lives++
	c.hung = nil
	e := ending{after: time.Duration(float64(c.life) * (0.2 + 1.6*rng.Float64()))}
	if c.plan.lives%2 == 1 {
		return e
	}
	all := c.plan.only
	if c.plan.lives%8 == 0 {
		c.plan.only = betweenAnswerAndSync
	}
	point, n := c.plan.choose(rng)
	c.plan.only = all
	if point == "" {
		return e
	}
	e.failpoints = fmt.Sprintf("%s=hang@%d", point, n)
	e.after *= overtime
	e.hung = c.plan.reached(point, n)
	c.hung = e.hung
	return e
}

// end cuts the power while the broker and its load run, ends the process, which can write nothing any more, and
// mounts what is left.
func (c *cutter) end(b *broker.Broker, _ *rand.Rand) error {
	if c.armed {
		if err := c.image.cutPower(); err != nil {
			return err
		}
		c.cuts++
		if c.hung != nil && c.hung() {
			c.plan.came()
		}
	}
	c.armed = false
	b.Kill()
	return errors.Join(c.image.unmount(c.ctx), c.image.attach(c.ctx))
}
