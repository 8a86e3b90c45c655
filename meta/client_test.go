package meta_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/meta/metatest"
)

func newClient(s meta.Store) *meta.Client {
	return meta.NewClient(s, "test", rand.New(rand.NewPCG(1, 2)))
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("error %v, want %v", err, target)
	}
}

func TestCompareAndSetUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		rates metatest.Rates
		want  error
	}{
		"answers arrive":             {metatest.Rates{}, nil},
		"every answer is lost":       {metatest.Rates{Applied: 1}, nil},
		"every write is lost":        {metatest.Rates{Lost: 1}, meta.ErrUnknown},
		"every write is late":        {metatest.Rates{Late: 1}, nil},
		"nothing can be asked":       {metatest.Rates{Unavailable: 1}, meta.ErrUnavailable},
		"answers lost, reads stale":  {metatest.Rates{Applied: 1, Stale: 0.9}, nil},
		"mostly lost, reads refused": {metatest.Rates{Lost: 0.6}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.Open(memory.NewData())
				faulty := metatest.NewFaulty(store, rand.New(rand.NewPCG(3, 4)), c.rates)
				client := newClient(faulty)
				started := time.Now()
				revision, err := client.Create(t.Context(), meta.BucketShards, "k", []byte("a"))
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("error %v, want %v", err, c.want)
				}
				if took := time.Since(started); took > 15*time.Second {
					t.Errorf("gave up after %s", took)
				}
				if err == nil {
					v, err := store.Get(t.Context(), meta.BucketShards, "k")
					if err != nil || v.Revision != revision || string(v.Data) != "a" || len(faulty.Applied()) != 1 {
						t.Errorf("revision %d, stored %+v, %v, applied %d times", revision, v, err, len(faulty.Applied()))
					}
				}
			})
		})
	}
}

// writeOver is a store whose first write takes effect, is written over by somebody else, and
// then has its answer lost.
type writeOver struct {
	meta.Store
	done bool
}

func (w *writeOver) Create(ctx context.Context, b meta.Bucket, key string, e meta.Envelope) (uint64, error) {
	revision, err := w.Store.Create(ctx, b, key, e)
	if err != nil || w.done {
		return revision, err
	}
	w.done = true
	if _, err := w.Update(ctx, b, key, meta.Envelope{Writer: "other", Nonce: 1, Data: []byte("theirs")}, revision); err != nil {
		return 0, err
	}
	return 0, meta.ErrUnknown
}

func TestWrittenOverIsUnknown(t *testing.T) {
	client := newClient(&writeOver{Store: memory.Open(memory.NewData())})
	_, err := client.Create(t.Context(), meta.BucketShards, "k", []byte("mine"))
	want(t, err, meta.ErrUnknown)
	if errors.Is(err, meta.ErrConflict) {
		t.Error("a write that took effect was called a conflict")
	}
}

func TestDeleteUnknown(t *testing.T) {
	store := memory.Open(memory.NewData())
	faulty := metatest.NewFaulty(store, rand.New(rand.NewPCG(3, 4)), metatest.Rates{})
	client := newClient(faulty)
	revision, err := client.Create(t.Context(), meta.BucketIndex, "k", nil)
	want(t, err, nil)
	want(t, client.Delete(t.Context(), meta.BucketIndex, "k", revision+1), meta.ErrConflict)
	faulty.SetRates(metatest.Rates{Lost: 0.3, Applied: 0.5})
	want(t, client.Delete(t.Context(), meta.BucketIndex, "k", revision), nil)
	_, err = store.Get(t.Context(), meta.BucketIndex, "k")
	want(t, err, meta.ErrNotFound)
}

func TestClaimShard(t *testing.T) {
	client := newClient(memory.Open(memory.NewData()))
	first, err := meta.ClaimShard(t.Context(), client, 1, "node-1", "folder-a", 0)
	if err != nil || first.Epoch != 1 {
		t.Errorf("first claim: %+v, %v", first, err)
	}
	second, err := meta.ClaimShard(t.Context(), client, 1, "node-1", "folder-a", 0)
	if err != nil || second.Epoch != 2 {
		t.Errorf("second claim: %+v, %v", second, err)
	}
	_, err = meta.ClaimShard(t.Context(), client, 1, "node-2", "folder-b", 0)
	want(t, err, meta.ErrNotHolder)
	third, err := meta.ClaimShard(t.Context(), client, 1, "node-1", "folder-a", 50)
	if err != nil || third.Epoch != 50 {
		t.Errorf("metadata that is behind the log: %+v, %v", third, err)
	}
}

func TestCluster(t *testing.T) {
	client := newClient(memory.Open(memory.NewData()))
	_, err := meta.AllocateTopicID(t.Context(), client)
	want(t, err, meta.ErrNotFound)
	want(t, meta.CreateCluster(t.Context(), client, meta.Cluster{}), meta.ErrInvalid)
	cluster := meta.Cluster{ID: "c", Incarnation: "i", NextTopicID: 1}
	want(t, meta.CreateCluster(t.Context(), client, cluster), nil)
	want(t, meta.CreateCluster(t.Context(), client, cluster), meta.ErrExists)
	for id := range 3 {
		got, err := meta.AllocateTopicID(t.Context(), client)
		if err != nil || int(got) != id+1 {
			t.Errorf("topic id %s, %v", got, err)
		}
	}
}
