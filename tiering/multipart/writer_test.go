package multipart

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/objectfault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T) *objectfault.Store {
	inner, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	store := objectfault.Wrap(inner)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

var small = Config{PartSize: tiering.MinPartSize, Concurrency: 2}

func payload(n int) []byte {
	rng := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	b := make([]byte, n)
	_, _ = rng.Read(b)
	return b
}

func write(t *testing.T, store tiering.ObjectStore, body []byte, step int) (*Writer, error) {
	t.Helper()
	w, err := New(t.Context(), store, "k", small)
	if err != nil {
		t.Fatal(err)
	}
	for off := 0; off < len(body); off += step {
		if _, err := w.Write(body[off:min(len(body), off+step)]); err != nil {
			return w, err
		}
	}
	return w, nil
}

func TestWriter(t *testing.T) {
	const p = tiering.MinPartSize
	for _, c := range []struct{ size, step, puts int }{
		{0, 1, 1}, {1, 1, 1}, {p - 1, 100_000, 1}, {p, p, 1}, {p + 1, 70_000, 2}, {3 * p, 3 * p, 3}, {5*p + 3, 1 << 20, 6},
	} {
		store := open(t)
		body := payload(c.size)
		w, err := write(t, store, body, c.step)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Complete(t.Context(), tiering.PutOptions{IfAbsent: true})
		if err != nil {
			t.Fatal(err)
		}
		want := Written{Key: "k", Size: int64(c.size), CRC32C: tiering.Checksum(body), Puts: c.puts}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if err := tiering.Verify(t.Context(), store, tiering.Capabilities{}, "k", got.Size, got.CRC32C); err != nil {
			t.Error(err)
		}
		if err := w.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("a completed writer goes on")
		}
	}
}

// TestPutsOfGiB is the bound on requests for a sealed GiB, entry columns of small records included.
func TestPutsOfGiB(t *testing.T) {
	const sealed = 1<<30 + 1<<30/8
	if puts := (sealed + DefaultConfig().PartSize - 1) / DefaultConfig().PartSize; puts > 70 {
		t.Errorf("%d puts", puts)
	}
}

// TestFaults makes each call fail, in both ways: the error comes out, and nothing is visible that was not meant to be.
func TestFaults(t *testing.T) {
	for _, size := range []int{1000, 4 * tiering.MinPartSize} {
		for _, op := range []string{"put", "create", "part", "complete"} {
			for _, mode := range []objectfault.Mode{objectfault.Before, objectfault.After} {
				store := open(t)
				hit := false
				store.Arm(func(c objectfault.Call) objectfault.Fault {
					if c.Op == op {
						hit = true
						return objectfault.Fault{Mode: mode}
					}
					return objectfault.Fault{}
				})
				w, err := write(t, store, payload(size), 300_000)
				if err == nil {
					_, err = w.Complete(t.Context(), tiering.PutOptions{})
				}
				if hit != errors.Is(err, tiering.ErrUnavailable) {
					t.Errorf("%s of %d bytes: hit %v, error %v", op, size, hit, err)
				}
				if err := w.Abort(t.Context()); err != nil {
					t.Error(err)
				}
				if hit && (mode == objectfault.Before || op == "part" || op == "create") {
					if _, err := store.Head(t.Context(), "k"); !errors.Is(err, tiering.ErrNotFound) {
						t.Errorf("%s leaves an object: %v", op, err)
					}
				}
			}
		}
	}
}

func TestAbortAndCancel(t *testing.T) {
	store := open(t)
	w, err := write(t, store, payload(3*tiering.MinPartSize), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Complete(t.Context(), tiering.PutOptions{}); err == nil {
		t.Error("an aborted writer completes")
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err = New(ctx, store, "k", small)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.Write(bytes.Repeat([]byte("x"), 2*tiering.MinPartSize)); !errors.Is(err, context.Canceled) {
		t.Errorf("write after cancel: %v", err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := store.Head(t.Context(), "k"); !errors.Is(err, tiering.ErrNotFound) {
		t.Error(err)
	}
	if _, err := New(t.Context(), store, "../k", small); !errors.Is(err, tiering.ErrInvalidKey) {
		t.Error(err)
	}
	if _, err := New(t.Context(), store, "k", Config{}); err == nil {
		t.Error("a writer without settings")
	}
}
