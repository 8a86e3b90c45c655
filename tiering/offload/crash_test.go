package offload_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/internal/failpoint"
	"github.com/stratamq/stratamq/tiering/offload"
)

type crash struct{ point string }

// passUntilCrash runs a pass that ends at the n-th hit of a failpoint, and says whether it did. What the pass held in
// memory is lost; the shard, the bucket and the metadata store are as they were at that moment.
func passUntilCrash(t *testing.T, o *offload.Offloader, point string, n int) (crashed bool) {
	t.Helper()
	hits := 0
	remove := failpoint.Hook(point, func() {
		if hits++; hits == n {
			panic(crash{point})
		}
	})
	defer remove()
	defer func() {
		if r := recover(); r != nil {
			if r != (crash{point}) {
				panic(r)
			}
			crashed = true
		}
	}()
	if err := o.Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	return false
}

// TestCrashAtEveryStep ends the process before and after every durable step of two seals, looks whether anything is
// lost at that moment, starts anew, and expects the end that a run without a crash has. With the planted bug
// bug_trim_before_head it fails.
func TestCrashAtEveryStep(t *testing.T) {
	points := slices.DeleteFunc(failpoint.Names(), func(name string) bool { return !strings.HasPrefix(name, "offload/") })
	if len(points) < 15 {
		t.Fatalf("only %d failpoints", len(points))
	}
	for _, point := range points {
		t.Run(strings.TrimPrefix(point, "offload/"), func(t *testing.T) {
			crashes := 0
			for n := 1; ; n++ {
				w := newWorld(t, uint64(n))
				w.fill(100)
				w.fill(100)
				if !passUntilCrash(t, w.offloader(), point, n) {
					break
				}
				crashes++
				w.complete(t.Context())
				w.shard.Restart()
				o := w.offloader()
				if err := o.Pass(t.Context()); err != nil {
					t.Fatalf("after a crash at hit %d: %v", n, err)
				}
				w.complete(t.Context())
				if seal := w.shard.LastSeal(); seal.Sequence != 2 || len(w.shard.Trimmed()) != 2 || w.shard.Full() != 0 {
					t.Fatalf("after a crash at hit %d: seal %+v, trimmed %d, left %d", n, seal, len(w.shard.Trimmed()), w.shard.Full())
				}
			}
			if crashes == 0 {
				t.Error("nothing ever came by here")
			}
		})
	}
}

// TestCrashesOnTheWay ends the process again and again at random moments while segments are added.
func TestCrashesOnTheWay(t *testing.T) {
	points := slices.DeleteFunc(failpoint.Names(), func(name string) bool { return !strings.HasPrefix(name, "offload/") })
	w := newWorld(t, 99)
	crashes := 0
	for range 60 {
		if w.random.IntN(2) == 0 {
			w.fill(1 + w.random.IntN(60))
		}
		if passUntilCrash(t, w.offloader(), points[w.random.IntN(len(points))], 1+w.random.IntN(3)) {
			crashes++
		}
		w.shard.Restart()
		w.complete(t.Context())
	}
	if err := w.offloader().Pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.complete(t.Context())
	if w.shard.Full() != 0 {
		t.Errorf("%d segments are left", w.shard.Full())
	}
	t.Logf("%d crashes, %d seals", crashes, w.shard.LastSeal().Sequence)
}
