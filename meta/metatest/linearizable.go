package metatest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stratamq/stratamq/meta"
)

// casInput is one call on one key.
type casInput struct {
	key      string
	read     bool
	data     string
	revision uint64 // expected by a write; 0: create
}

// casOutput is its answer.
type casOutput struct {
	data     string
	revision uint64
	conflict bool
	unknown  bool
}

// casState is a key's value; revision 0 is none. A write whose answer was lost has a revision
// that nobody was told, so the first read that sees it fills it in.
type casState struct {
	data     string
	revision uint64
	untold   bool
}

var casModel = porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(casInput).key
			byKey[key] = append(byKey[key], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byKey {
			out = append(out, ops)
		}
		return out
	},
	Init: func() []any { return []any{casState{}} },
	Step: func(state, input, output any) []any {
		s, in, out := state.(casState), input.(casInput), output.(casOutput)
		if in.read {
			if s.untold && out.data == s.data && out.revision != 0 {
				return []any{casState{data: s.data, revision: out.revision}}
			}
			if !s.untold && out.data == s.data && out.revision == s.revision {
				return []any{s}
			}
			return nil
		}
		matches := s.untold || s.revision == in.revision
		switch {
		case out.unknown && matches:
			return []any{s, casState{data: in.data, untold: true}}
		case out.unknown:
			return []any{s}
		case out.conflict && (s.untold || !matches):
			return []any{s}
		case !out.conflict && matches:
			return []any{casState{data: in.data, revision: out.revision}}
		default:
			return nil
		}
	},
}

// testLinearizable records what clients of one store see and asks porcupine whether one order of
// all calls explains it: first as it is, then with answers that get lost.
func testLinearizable(t *testing.T, d Disk) {
	s := open(t, d)
	t.Run("faultless", func(t *testing.T) { checkLinearizable(t, s, "f", 3) })
	faulty := NewFaulty(s, rand.New(rand.NewPCG(5, 5)), Rates{Lost: 0.05, Applied: 0.1})
	t.Run("answers lost", func(t *testing.T) { checkLinearizable(t, faulty, "l", 4) })
}

func checkLinearizable(t *testing.T, s meta.Store, prefix string, seed uint64) {
	t.Helper()
	const clients, calls = 6, 40
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	start := time.Now()
	for c := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(c)))
			known := map[string]uint64{}
			for i := range calls {
				in := casInput{key: fmt.Sprintf("%s%d", prefix, random.IntN(2)), read: random.IntN(3) == 0, data: fmt.Sprintf("%d/%d", c, i)}
				in.revision = known[in.key]
				called := time.Since(start)
				out, err := call(t, s, in)
				returned := time.Since(start)
				if err != nil {
					t.Errorf("client %d: %v", c, err)
					return
				}
				if out.unknown {
					returned = time.Hour // it may take effect at any time
				}
				if out.revision != 0 {
					known[in.key] = out.revision
				} else if v, err := s.Get(t.Context(), meta.BucketShards, in.key); err == nil {
					known[in.key] = v.Revision // a hint that is no part of the history
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: c, Input: in, Output: out, Call: int64(called), Return: int64(returned)})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	won := 0
	for _, op := range history {
		if out := op.Output.(casOutput); !op.Input.(casInput).read && !out.conflict && !out.unknown {
			won++
		}
	}
	if won < clients {
		t.Errorf("only %d of %d calls were writes that won: too little contention to prove anything", won, len(history))
	}
	if got := porcupine.CheckOperationsTimeout(casModel.ToModel(), history, 30*time.Second); got != porcupine.Ok {
		t.Errorf("seed %d: %d calls by %d clients: %s", seed, len(history), clients, got)
	}
}

func call(t *testing.T, s meta.Store, in casInput) (casOutput, error) {
	t.Helper()
	if in.read {
		v, err := s.Get(t.Context(), meta.BucketShards, in.key)
		if errors.Is(err, meta.ErrNotFound) {
			return casOutput{}, nil
		}
		return casOutput{data: string(v.Data), revision: v.Revision}, err
	}
	var out casOutput
	var err error
	if in.revision == 0 {
		out.revision, err = s.Create(t.Context(), meta.BucketShards, in.key, envelope(1, in.data))
	} else {
		out.revision, err = s.Update(t.Context(), meta.BucketShards, in.key, envelope(1, in.data), in.revision)
	}
	switch {
	case errors.Is(err, meta.ErrConflict):
		return casOutput{conflict: true}, nil
	case errors.Is(err, meta.ErrUnknown):
		return casOutput{unknown: true}, nil
	default:
		return out, err
	}
}
