package offload_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/meta/metatest"
	"github.com/stratamq/stratamq/tiering/objectfault"
)

// TestFaultsLoseNothing seals with a bucket and a metadata store that fail at random, before and after they did what they
// were asked, and give damaged bytes; it reads everything back through the same bucket.
func TestFaultsLoseNothing(t *testing.T) {
	const goal = 1000
	faults, passes := 0, 0
	for seed := uint64(1); faults < goal; seed++ {
		w := newWorld(t, seed)
		random := rand.New(rand.NewPCG(seed, 7))
		store := objectfault.Wrap(w.store)
		store.Arm(func(call objectfault.Call) objectfault.Fault {
			mode := objectfault.Mode(random.IntN(16)) // 3 of 16 calls go wrong
			if mode > objectfault.Damage {
				return objectfault.Fault{}
			}
			if mode != objectfault.None {
				faults++
			}
			return objectfault.Fault{Mode: mode}
		})
		w.store = store
		lying := metatest.NewFaulty(memory.Open(memory.NewData()), rand.New(rand.NewPCG(seed, 8)), metatest.Rates{
			Unavailable: 0.05, Lost: 0.02, Applied: 0.02, Late: 0.02, Stale: 0.05,
		})
		w.meta = lying
		o := w.offloader()
		for round := range 4 {
			w.fill(80)
			for {
				passes++
				err := o.Pass(t.Context())
				if err == nil {
					break
				}
				if passes > 100*int(seed)*4 {
					t.Fatalf("seed %d: no end of errors: %v", seed, err)
				}
				if w.random.IntN(8) == 0 {
					w.shard.Restart()
					o = w.offloader()
				}
			}
			if round%2 == 1 {
				w.complete(t.Context())
			}
		}
		if w.shard.Full() != 0 {
			t.Errorf("seed %d: %d segments are left", seed, w.shard.Full())
		}
		faults += lying.Faults()
	}
	t.Logf("%d faults, %d passes, nothing lost", faults, passes)
}
