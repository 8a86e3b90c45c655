package history_test

import (
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/offload/offloadtest"
	"github.com/stratamq/stratamq/tiering/segment"
)

// TestManyStreams: readers that take turns, far more than have room for a full range each, do not fetch the same bytes
// again and again.
func TestManyStreams(t *testing.T) {
	for _, codec := range []segment.Codec{segment.CodecNone, segment.CodecZstd} {
		t.Run(codec.String(), func(t *testing.T) {
			w := newWorld(t, openFile(t), 31)
			w.config.Codec = codec
			qs := queues(1, 24)
			w.shard.Fill(w.random, offloadtest.FillOptions{Messages: 24 * 1500, Queues: qs, MaxBody: 400})
			w.seal(t.Context(), w.offloader())
			store := &counter{ObjectStore: w.store}
			config := smallConfig()
			config.BlockCache, config.StreamCache, config.DirectoryCache = 1<<20, 256<<10, 1<<20
			h := w.history(store, config)
			next := make([]message.Offset, len(qs))
			for open := len(qs); open > 0; {
				open = 0
				for i, q := range qs {
					if int(next[i]) == len(w.shard.Model(q)) {
						continue
					}
					open++
					got, err := h.Read(t.Context(), 3, q, next[i], 16, 1<<20, 1)
					if err != nil || len(got) == 0 {
						t.Fatal(len(got), err)
					}
					w.same(q, next[i], got)
					next[i] += message.Offset(len(got))
				}
			}
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			stored := 0
			for _, key := range w.objects(t) {
				info, err := w.store.Head(t.Context(), key)
				if err != nil {
					t.Fatal(err)
				}
				stored += int(info.Size)
			}
			t.Logf("%d bytes in %d requests for objects of %d bytes; %+v", store.bytes, store.requests, stored, h.Metrics())
			if store.bytes > stored*3/2 {
				t.Errorf("%d bytes were fetched for objects of %d", store.bytes, stored)
			}
		})
	}
}
