package metatest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stratamq/stratamq/meta"
)

// testUnknown lets clients write through a store that lies, and holds what each was told against
// what really took effect.
func testUnknown(t *testing.T, d Disk) {
	s := open(t, d)
	const seed, writers, writes = 7, 4, 40
	faulty := NewFaulty(s, rand.New(rand.NewPCG(seed, 0)), Rates{
		Unavailable: 0.03, Lost: 0.1, Applied: 0.15, Late: 0.1, Stale: 0.2,
	})
	type told struct {
		data     string
		revision uint64
		err      error
	}
	var mu sync.Mutex
	var answers []told
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w+1)))
			client := meta.NewClient(faulty, fmt.Sprintf("writer-%d", w), random)
			for i := range writes {
				key := fmt.Sprintf("k%d", random.IntN(3))
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				v, err := client.Get(ctx, meta.BucketShards, key)
				if err == nil || errors.Is(err, meta.ErrNotFound) {
					a := told{data: fmt.Sprintf("%d/%d", w, i)}
					a.revision, a.err = client.CompareAndSet(ctx, meta.BucketShards, key, []byte(a.data), v.Revision)
					mu.Lock()
					answers = append(answers, a)
					mu.Unlock()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	faulty.SetRates(Rates{})

	applied := map[string][]uint64{}
	for _, a := range faulty.Applied() {
		applied[string(a.Envelope.Data)] = append(applied[string(a.Envelope.Data)], a.Revision)
	}
	good, conflicts, unknown := 0, 0, 0
	for _, a := range answers {
		revisions := applied[a.data]
		switch {
		case len(revisions) > 1:
			t.Errorf("write %s took effect %d times", a.data, len(revisions))
		case a.err == nil:
			good++
			if len(revisions) != 1 || revisions[0] != a.revision {
				t.Errorf("write %s was told revision %d, took effect at %v", a.data, a.revision, revisions)
			}
		case errors.Is(a.err, meta.ErrUnknown):
			unknown++
		case errors.Is(a.err, meta.ErrConflict), errors.Is(a.err, meta.ErrUnavailable):
			conflicts++
			if len(revisions) != 0 {
				t.Errorf("write %s was told %v, but took effect at %v", a.data, a.err, revisions)
			}
		default:
			t.Errorf("write %s: %v", a.data, a.err)
		}
	}
	t.Logf("seed %d: %d calls lied about; of %d writes %d good, %d refused, %d unknown", seed, faulty.Faults(), len(answers), good, conflicts, unknown)
	if good == 0 || faulty.Faults() == 0 {
		t.Error("nothing was tried")
	}

	testUnknownMutate(t, s)
}

// testUnknownMutate lets clients add to one counter through a store whose answers get lost. Each
// addition carries its own mark, so that making one twice shows.
func testUnknownMutate(t *testing.T, s meta.Store) {
	t.Helper()
	const seed, writers, adds = 11, 3, 15
	faulty := NewFaulty(s, rand.New(rand.NewPCG(seed, 0)), Rates{Lost: 0.1, Applied: 0.2, Late: 0.1, Stale: 0.1})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			client := meta.NewClient(faulty, fmt.Sprintf("adder-%d", w), rand.New(rand.NewPCG(seed, uint64(w+1))))
			for i := range adds {
				mark := byte(w*adds + i)
				_, err := client.Mutate(t.Context(), meta.BucketCluster, "marks", func(v meta.Value) ([]byte, error) {
					if slices.Contains(v.Data, mark) {
						return v.Data, nil
					}
					return append(append([]byte(nil), v.Data...), mark), nil
				})
				if err != nil {
					t.Errorf("mark %d: %v", mark, err)
				}
			}
		})
	}
	wg.Wait()
	faulty.SetRates(Rates{})
	v, err := s.Get(t.Context(), meta.BucketCluster, "marks")
	must(t, err)
	seen := map[byte]int{}
	for _, m := range v.Data {
		seen[m]++
	}
	for m := range byte(writers * adds) {
		if seen[m] != 1 {
			t.Errorf("mark %d is there %d times", m, seen[m])
		}
	}
}
