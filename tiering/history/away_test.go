package history_test

import (
	"errors"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
)

// A head that names entries which the bucket does not show is an error, not a shard of which nothing was ever sealed.
func TestEntriesThatAreNotThere(t *testing.T) {
	w := newWorld(t, openFile(t), 7)
	o := w.offloader()
	qs := queues(1, 1)
	for range 3 {
		w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 200, Queues: qs, MaxBody: 100, Keys: 5})
		w.seal(t.Context(), o)
	}
	h := w.history(openFile(t), smallConfig()) // another folder: empty
	wantError := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, history.ErrBehind) || !errors.Is(err, tiering.ErrMissingObject) {
			t.Errorf("%s without the entries: %v", what, err)
		}
	}
	_, err := h.Lookup(t.Context(), w.shard.Shard(), qs[0].Topic, message.IndexByKey, "any", 10)
	wantError("lookup", err)
	_, _, err = h.OffsetAt(t.Context(), w.shard.Shard(), qs[0], 0, 0)
	wantError("offset by time", err)
	_, err = h.Read(t.Context(), w.shard.Shard(), qs[0], 0, 10, 1000, 0)
	wantError("read", err)
}
