package history_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
)

// TestSeam appends, seals and trims while readers follow every queue over the seam, on every driver: the same offsets, the
// same bytes, nothing twice, nothing missing.
func TestSeam(t *testing.T) {
	server := s3server.New(t)
	for name, open := range map[string]func() tiering.ObjectStore{
		"file": func() tiering.ObjectStore { return openFile(t) },
		"s3":   func() tiering.ObjectStore { return server.Open(t, "seam", "some/where") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, open(), 11)
			w.caps.ConditionalComplete, w.caps.ChecksumReturned = false, false
			w.seam(t, 24, 300)
		})
	}
}

// seam runs so many seals under readers.
func (w *world) seam(t *testing.T, seals, messages int) {
	t.Helper()
	qs := queues(3, 2)
	h := w.history(w.store, smallConfig())
	var done atomic.Bool
	var hot, cold, crossed atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	group.Go(func() error {
		defer done.Store(true)
		o := w.offloader()
		for range seals {
			w.shard.Fill(w.random, offloadtest.FillOptions{Messages: messages, Queues: qs, MaxBody: 300, Keys: 10})
			w.shard.Roll()
			if err := o.Pass(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	for _, q := range qs {
		for reader := range 2 {
			group.Go(func() error {
				random := rand.New(rand.NewPCG(uint64(q.Topic)<<32|uint64(q.ID), uint64(reader)))
				f := follower{w: w, h: h, q: q, random: random, hot: &hot, cold: &cold, crossed: &crossed}
				for {
					last := done.Load()
					if err := f.toEnd(ctx); err != nil {
						return err
					}
					if last {
						return nil
					}
					if reader == 1 {
						f.next, f.wasCold = message.Offset(random.IntN(int(f.next)+1)), false // seek back
					}
				}
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hot reads, %d cold reads, %d over the seam; %+v", hot.Load(), cold.Load(), crossed.Load(), h.Metrics())
	if cold.Load() == 0 || hot.Load() == 0 || crossed.Load() == 0 {
		t.Error("a tier did not serve")
	}
	for _, q := range qs {
		w.readAll(t, h, q, w.shard.LastSeal().Sequence)
	}
}

// follower reads a queue hot where the bytes are local and cold where they are not, as a proxy does.
type follower struct {
	w                  *world
	h                  *history.History
	q                  message.Queue
	random             *rand.Rand
	next               message.Offset
	wasCold            bool
	hot, cold, crossed *atomic.Int64
	mu                 sync.Mutex
}

func (f *follower) toEnd(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		// In this order: a trim between the two looks makes the seal newer, never the bytes older.
		local, seal := f.w.shard.FirstLocal(f.q), f.w.shard.LastSeal().Sequence
		model := f.w.shard.Model(f.q)
		if int(f.next) >= len(model) {
			return nil
		}
		if f.next >= local {
			// The model stands for the shard's own bytes.
			f.hot.Add(1)
			if f.wasCold {
				f.crossed.Add(1)
			}
			f.wasCold = false
			f.next += message.Offset(1 + f.random.IntN(min(20, len(model)-int(f.next))))
			continue
		}
		got, err := f.h.Read(ctx, f.w.shard.Shard(), f.q, f.next, 1+f.random.IntN(50), 1<<20, seal)
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return fmt.Errorf("queue %s: offset %d is not local (from %d on) and seal %d gives no messages", f.q, f.next, local, seal)
		}
		for _, m := range got {
			if m.Queue != f.q || m.Offset != f.next || !bytes.Equal(m.Stored, model[f.next].Stored) {
				return fmt.Errorf("queue %s: offset %d is not what was sent", f.q, f.next)
			}
			f.next++
		}
		f.cold.Add(1)
		f.wasCold = true
	}
}
