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

// cutter cuts the power of a file system that holds log, metadata and object store together.
type cutter struct {
	ctx   context.Context //nolint:containedctx // of the loop: the machine interface is called within it
	image *image
	life  time.Duration

	armed bool // this life ends with a cut
	cuts  int
}

// powercut is the loop of power cuts.
func powercut(ctx context.Context, o *options) error {
	binary, err := o.build(ctx)
	if err != nil {
		return err
	}
	c := &cutter{ctx: ctx, life: o.life}
	s := new(sums)
	began := time.Now()
	for n := 0; n*o.round < o.cycles && err == nil; n++ {
		err = c.round(ctx, o, binary, n, s)
	}
	took := time.Since(began)
	s.print(o, "powercut", took)
	o.printf("  power cuts   %d under load; acknowledged in each cycle: %v\n", c.cuts, s.perCycle)
	err = s.result(err)
	if err == nil && c.cuts < o.cycles {
		err = fmt.Errorf("%d power cuts of %d", c.cuts, o.cycles)
	}
	return errors.Join(err, o.record(ctx, "powercut", s, map[string]int{"powercut": c.cuts}, took))
}

// round is one file system with its ledger.
func (c *cutter) round(ctx context.Context, o *options, binary string, n int, s *sums) (err error) {
	c.image, err = newImage(ctx, filepath.Join(o.dir, fmt.Sprintf("image-%d", n)), filepath.Join(o.dir, fmt.Sprintf("mount-%d", n)), imageSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.image.close(ctx)) }()
	return o.newRound(c, binary, "", n, s).run(ctx, min(o.round, o.cycles-n*o.round))
}

func (c *cutter) dataDir() string { return filepath.Join(c.image.mount, "data") }

func (c *cutter) next(rng *rand.Rand) ending {
	c.armed = true
	return ending{after: time.Duration(float64(c.life) * (0.2 + 1.6*rng.Float64()))}
}

// end cuts the power while the broker and its load run, ends the process, which can write nothing any more, and
// mounts what is left.
func (c *cutter) end(b *broker.Broker, _ *rand.Rand) error {
	if c.armed {
		if err := c.image.cutPower(); err != nil {
			return err
		}
		c.cuts++
	}
	c.armed = false
	b.Kill()
	return errors.Join(c.image.unmount(c.ctx), c.image.attach(c.ctx))
}
