package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEveryFailpointHasItsTurn: whatever the seed, the schedule arms each point that the broker has.
func TestEveryFailpointHasItsTurn(t *testing.T) {
	hits := filepath.Join(t.TempDir(), "hits")
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, "1 point-%d 0\n", i)
	}
	if err := os.WriteFile(hits, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	k := &killer{life: time.Second, plan: new(options).newSchedule(hits)}
	rng := rand.New(rand.NewPCG(1, 1))
	starting, outside := 0, 0
	for range 100 {
		e := k.next(rng)
		switch {
		case e.after < 0:
			starting++
		case e.failpoints == "":
			outside++
		default:
			if !strings.HasPrefix(e.failpoints, k.plan.armed+"=kill@") {
				t.Fatalf("armed %q for %s", e.failpoints, k.plan.armed)
			}
			k.plan.came()
		}
	}
	if len(k.plan.at) != 40 || starting == 0 || outside == 0 {
		t.Errorf("%d of 40 points had their turn, %d ends while starting, %d from outside", len(k.plan.at), starting, outside)
	}
}

func TestALoopThatDidNothingProvesNothing(t *testing.T) {
	if err := new(sums).prove(); err == nil {
		t.Error("a loop without cycles passed for a proof")
	}
}
