package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer/shard"
	"github.com/stratamq/stratamq/tiering/history"
)

// openHistory opens what reads the bucket.
func (s *Server) openHistory(context.Context) error {
	h, err := history.New(history.Options{
		Config:  history.DefaultConfig(),
		Cluster: s.cluster.ID,
		Store:   s.objects,
		Meta:    s.meta.Store(),
		Clock:   clock.Real(),
		Logger:  s.log,
	})
	if err != nil {
		return err
	}
	s.closeLater(h.Close)
	s.history = h
	registerHistory(s.registry, h)
	return nil
}

// coldReads is a history as a proxy needs it: what is gone has the proxy's word.
type coldReads struct{ history *history.History }

var _ proxy.History = coldReads{}

func (c coldReads) Read(ctx context.Context, id message.ShardID, q message.Queue, from message.Offset, limit, maxBytes int, minSealSequence uint64) ([]message.Located, error) {
	got, err := c.history.Read(ctx, id, q, from, limit, maxBytes, minSealSequence)
	return got, goneToProxy(err)
}

func (c coldReads) OffsetAt(ctx context.Context, id message.ShardID, q message.Queue, t int64, minSealSequence uint64) (message.Offset, bool, error) {
	offset, found, err := c.history.OffsetAt(ctx, id, q, t, minSealSequence)
	return offset, found, goneToProxy(err)
}

func (c coldReads) Lookup(ctx context.Context, id message.ShardID, topic message.TopicID, kind message.IndexKind, text string, limit int) ([]message.Located, error) {
	got, err := c.history.Lookup(ctx, id, topic, kind, text, limit)
	return got, goneToProxy(err)
}

func goneToProxy(err error) error {
	if errors.Is(err, history.ErrGone) {
		return fmt.Errorf("%w: %w", proxy.ErrGone, err)
	}
	return err
}

// bucket is a history as a shard needs it.
type bucket struct {
	history *history.History
	shard   func() *shard.Shard // nil while the shard recovers
}

var _ shard.Bucket = bucket{}

// errNotSealed says that the bucket does not have what only it should have.
var errNotSealed = errors.New("the bucket has no message there")

func (b bucket) Read(ctx context.Context, q message.Queue, offset message.Offset) ([]byte, error) {
	var seal uint64
	if s := b.shard(); s != nil {
		state, err := s.Queue(ctx, q)
		if err != nil {
			return nil, err
		}
		seal = state.Tier.SealSequence
	}
	got, err := b.history.Read(ctx, theShard, q, offset, 1, 1, seal)
	if err != nil {
		return nil, err
	}
	if len(got) == 0 || got[0].Offset != offset {
		return nil, fmt.Errorf("queue %s, offset %d: %w", q, offset, errNotSealed)
	}
	return got[0].Stored, nil
}

func (b bucket) Snapshot(ctx context.Context) ([]byte, error) {
	raw, _, err := b.history.Snapshot(ctx, theShard)
	return raw, err
}

// registerHistory shows what a history counts.
func registerHistory(registry prometheus.Registerer, h *history.History) {
	for _, m := range []struct {
		name, help string
		value      func(history.Metrics) uint64
	}{
		{"strata_history_requests_total", "Requests to the object store by cold reads.", func(m history.Metrics) uint64 { return m.Requests }},
		{"strata_history_request_bytes_total", "Bytes fetched by cold reads.", func(m history.Metrics) uint64 { return m.RequestBytes }},
		{"strata_history_messages_total", "Messages returned by cold reads.", func(m history.Metrics) uint64 { return m.Messages }},
		{"strata_history_message_bytes_total", "Bytes of messages returned by cold reads.", func(m history.Metrics) uint64 { return m.MessageBytes }},
		{"strata_history_block_hits_total", "Blocks found decoded.", func(m history.Metrics) uint64 { return m.BlockHits }},
		{"strata_history_window_hits_total", "Blocks found in a range that was read before.", func(m history.Metrics) uint64 { return m.WindowHits }},
		{"strata_history_block_misses_total", "Blocks that had to be fetched.", func(m history.Metrics) uint64 { return m.BlockMisses }},
		{"strata_history_read_aheads_total", "Ranges fetched before anybody asked.", func(m history.Metrics) uint64 { return m.ReadAheads }},
		{"strata_history_damaged_fetches_total", "Fetched bytes that failed their checksum and were fetched again.", func(m history.Metrics) uint64 { return m.DamagedFetches }},
		{"strata_history_derived_values_total", "Values that the metadata store did not have and the bucket's directories gave.", func(m history.Metrics) uint64 { return m.DerivedValues }},
		{"strata_history_refreshes_total", "Looks at the manifest.", func(m history.Metrics) uint64 { return m.Refreshes }},
		{"strata_history_missing_objects_total", "Objects that should be in the bucket and are not.", func(m history.Metrics) uint64 { return m.MissingObjects }},
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.name, Help: m.help},
			func() float64 { return float64(m.value(h.Metrics())) }))
	}
}
