package server

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/tiering"
)

// How much TestSeam does. STRATA_SEAM_READS asks for more reads, STRATA_SEAM_SEED for another history.
const (
	seamReads   = 1000 // that cross a seam
	seamPreload = 500  // messages before the first read
	seamLimit   = 10 * time.Minute
)

// From a reader's place it must not show where a message is: segments roll, are sealed and trimmed while it is read in
// every way that clients and operators have, and each answer is the same as if there were one tier.
func TestSeam(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		testSeam(t, dir, tiering.Location{Scheme: tiering.SchemeFile, Dir: filepath.Join(dir, "objects")}, 1, 200*time.Millisecond)
	})
	t.Run("s3", func(t *testing.T) {
		_, location := s3Bucket(t)
		testSeam(t, t.TempDir(), location, 2, time.Millisecond)
	})
}

func testSeam(t *testing.T, dir string, objects tiering.Location, seed uint64, local time.Duration) {
	wanted := envInt(t, "STRATA_SEAM_READS", seamReads)
	seed = uint64(envInt(t, "STRATA_SEAM_SEED", int(seed)))
	t.Logf("STRATA_SEAM_SEED=%d", seed)
	r := openRig(t, rigConfig(dir, objects.String(), local))
	past := newPast(r, seed, map[string]int{"alpha": 1, "beta": 3})
	tally := newTally()

	ctx, cancel := context.WithTimeout(t.Context(), seamLimit)
	defer cancel()
	following, stopFollowing := context.WithCancel(ctx)
	defer stopFollowing()
	recorders, following := errgroup.WithContext(following)
	for _, q := range past.queues {
		recorders.Go(func() error { return past.record(following, q) })
	}
	tokens := make(chan struct{}, seamPreload)
	producers, ctx := errgroup.WithContext(ctx)
	for i := range 3 {
		producers.Go(func() error { return past.produce(ctx, i, tokens) })
	}
	for range seamPreload {
		tokens <- struct{}{}
	}
	r.waitFor("a first trim", func() bool { return r.seams().local > 0 || ctx.Err() != nil })

	readers, ctx := errgroup.WithContext(ctx)
	done := func() bool { return ctx.Err() != nil || tally.enough(wanted) }
	for i, read := range []func(*reader, context.Context) error{
		(*reader).pull, (*reader).pull, (*reader).pull, (*reader).pullTagged, (*reader).scan,
		(*reader).offsetAt, (*reader).byID, (*reader).byKey, (*reader).byTime, (*reader).byTime,
	} {
		readers.Go(func() error {
			r := &reader{pastSent: past, rng: rand.New(rand.NewPCG(seed, 100+uint64(i))), tally: tally}
			for !done() {
				if err := read(r, ctx); err != nil {
					return err
				}
				pay(tokens)
			}
			return nil
		})
	}
	for i, tag := range []string{"*", "a"} {
		readers.Go(func() error {
			r := &reader{pastSent: past, rng: rand.New(rand.NewPCG(seed, 200+uint64(i))), tally: tally}
			for n := 0; n == 0 || !done(); n++ {
				topic := past.queues[r.rng.IntN(len(past.queues))].topic
				if err := r.consume(ctx, fmt.Sprintf("group-%d-%d", i, n), topic, tag); err != nil {
					return err
				}
				pay(tokens)
			}
			return nil
		})
	}
	if err := readers.Wait(); err != nil {
		t.Errorf("reader: %v", err)
	}
	close(tokens)
	if err := producers.Wait(); err != nil {
		t.Errorf("producer: %v", err)
	}
	if t.Failed() {
		return
	}
	if err := past.waitRecorded(); err != nil {
		t.Error(err)
	}
	stopFollowing()
	if err := recorders.Wait(); err != nil {
		t.Errorf("recorder: %v", err)
	}
	tally.verdict(t, wanted)
	if m := r.history.Metrics(); m.Messages == 0 || m.MissingObjects > 0 || m.DamagedFetches > 0 {
		t.Errorf("history: %+v", m)
	}
}

// pay lets the producers send on, in step with the reads, unless they are behind.
func pay(tokens chan<- struct{}) {
	for range 4 {
		select {
		case tokens <- struct{}{}:
		default:
		}
	}
}

func envInt(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// tally counts reads. A read crosses a seam if the messages that its answer rests on lie in more than one tier, or if one
// of them changed its tier while it was read.
type tally struct {
	mu struct {
		sync.Mutex
		reads, crossed map[string]int // by the kind of read
		log, bucket    int            // reads that crossed the seam between the segments of the log, and that to the bucket
		served         [tiers]int     // messages
		moved          int            // messages that changed their tier
	}
}

func newTally() *tally {
	c := &tally{}
	c.mu.reads, c.mu.crossed = map[string]int{}, map[string]int{}
	return c
}

// note counts a read of messages that began when the seams were before. Those that nobody has recorded yet do not count.
func (c *tally) note(p *pastSent, kind string, before seams, messages []*sent) {
	after := p.rig.seams()
	var touched [tiers]bool
	var served [tiers]int
	moved := 0
	for _, m := range messages {
		if !p.isRecorded(m) {
			continue
		}
		was, is := before.tierOf(m.position), after.tierOf(m.position)
		touched[was], touched[is] = true, true
		if was == is {
			served[is]++
		} else {
			moved++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.reads[kind]++
	log, bucket := touched[tierHot] && touched[tierLocal], touched[tierBucket] && (touched[tierHot] || touched[tierLocal])
	if log {
		c.mu.log++
	}
	if bucket {
		c.mu.bucket++
	}
	if log || bucket {
		c.mu.crossed[kind]++
	}
	for i, n := range served {
		c.mu.served[i] += n
	}
	c.mu.moved += moved
}

func (c *tally) crossings() int {
	n := 0
	for _, k := range c.mu.crossed {
		n += k
	}
	return n
}

// seamKinds are the ways to read.
var seamKinds = []string{"pull", "pull by tag", "scan", "receive", "offset by time", "query by id", "query by key", "query by time"}

// enough reports whether so many reads crossed a seam, some of each kind.
func (c *tally) enough(wanted int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crossings() >= wanted && !slices.ContainsFunc(seamKinds, func(kind string) bool { return c.mu.reads[kind] < 10 || c.mu.crossed[kind] == 0 })
}

func (c *tally) verdict(t *testing.T, wanted int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, kind := range seamKinds {
		lines = append(lines, fmt.Sprintf("%s %d of %d", kind, c.mu.crossed[kind], c.mu.reads[kind]))
		if c.mu.crossed[kind] == 0 {
			t.Errorf("no %s crossed a seam", kind)
		}
	}
	t.Logf("%d reads crossed a seam: %s; %d crossed between segments, %d to the bucket; messages served hot %d, local %d, bucket %d, moved meanwhile %d",
		c.crossings(), strings.Join(lines, ", "), c.mu.log, c.mu.bucket, c.mu.served[tierHot], c.mu.served[tierLocal], c.mu.served[tierBucket], c.mu.moved)
	if c.crossings() < wanted {
		t.Errorf("%d reads crossed a seam, want %d", c.crossings(), wanted)
	}
	if c.mu.log == 0 || c.mu.bucket == 0 {
		t.Errorf("%d reads crossed the seam in the log, %d that to the bucket", c.mu.log, c.mu.bucket)
	}
	for i, n := range c.mu.served {
		if n == 0 {
			t.Errorf("tier %d served no message", i)
		}
	}
}
