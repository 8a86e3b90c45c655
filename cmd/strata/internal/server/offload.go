package server

import (
	"context"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/catalog"
	"github.com/stratamq/stratamq/storelayer/shard"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/offload"
	"github.com/stratamq/stratamq/tiering/segment"
)

// sealBudget bounds the bytes that seals hold in memory.
const sealBudget = 192 << 20

// source is a shard as an offloader needs it.
type source struct{ shard *shard.Shard }

var _ offload.Source = source{}

func (s source) Shard() message.ShardID { return s.shard.ID() }

func (s source) Epoch() message.Epoch { return s.shard.Epoch() }

func (s source) Sealable(context.Context) ([]offload.Segment, error) {
	full := s.shard.FullSegments()
	out := make([]offload.Segment, 0, len(full))
	for _, seg := range full {
		out = append(out, offload.Segment{ID: seg.ID, Base: seg.Base, End: seg.End, Bytes: seg.FileSize, Created: seg.Created})
	}
	return out, nil
}

func (s source) Records(ctx context.Context, base message.Position) iter.Seq2[offload.Record, error] {
	return func(yield func(offload.Record, error) bool) {
		for r, err := range s.shard.Messages(ctx, base) {
			if !yield(offload.Record(r), err) {
				return
			}
		}
	}
}

func (s source) ReadAt(_ context.Context, dst []byte, at message.Position) error {
	return s.shard.ReadLog(dst, at)
}

func (s source) Snapshot(ctx context.Context, end message.Position) (offload.Snapshot, error) {
	start, raw, err := s.shard.SnapshotBehind(ctx, end)
	return offload.Snapshot{ReplayStart: start, Bytes: raw}, err
}

func (s source) Sealed(_ context.Context, seal offload.Seal) error {
	s.shard.Sealed(seal.Sequence)
	return nil
}

func (s source) Trim(ctx context.Context, base message.Position) error {
	return s.shard.Trim(ctx, base)
}

// offloadConfig is what the settings mean for an offloader. The grace is for readers that are under way;
// who wants local bytes to go sooner than that says so by a short age.
func offloadConfig(keep config.Retention, codec segment.Codec) offload.Config {
	c := offload.DefaultConfig()
	c.Codec = codec
	c.LocalAge, c.LocalBytes = keep.Age, keep.Bytes
	if keep.Age > 0 {
		c.Grace = min(c.Grace, keep.Age)
	}
	return c
}

// retentionClass returns what tells the class of a topic's messages. Those of a topic that is gone are
// kept for the shortest time.
func retentionClass(topics *catalog.Catalog) func(message.TopicID) segment.Class {
	return func(id message.TopicID) segment.Class {
		t, ok := topics.TopicByID(id)
		if !ok || !t.Live() {
			return segment.Class1d
		}
		return segment.ClassFor(t.RetentionAge)
	}
}

// offloadMetrics counts what an offloader tells by its events.
type offloadMetrics struct {
	seals, rawBytes, storedBytes, metaBytes, puts prometheus.Counter
	trims                                         prometheus.Counter
	failures                                      *prometheus.CounterVec
	backlog, backlogBytes                         prometheus.Gauge
	sealSeconds                                   prometheus.Histogram
}

func newOffloadMetrics(registry prometheus.Registerer) *offloadMetrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		registry.MustRegister(c)
		return c
	}
	m := &offloadMetrics{
		seals:       counter("strata_seals_total", "Segments sealed into the object store."),
		rawBytes:    counter("strata_seal_record_bytes_total", "Bytes of records sealed, before compression."),
		storedBytes: counter("strata_seal_object_bytes_total", "Bytes of objects and snapshots written by seals."),
		metaBytes:   counter("strata_seal_meta_bytes_total", "Bytes written into the metadata store by seals."),
		puts:        counter("strata_seal_puts_total", "Uploads made by seals, parts and whole objects."),
		trims:       counter("strata_trims_total", "Sealed segments removed from the local disk."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "strata_seal_failures_total", Help: "Failed tries of a step of a seal; each is tried again.",
		}, []string{"step"}),
		backlog:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "strata_seal_backlog_segments", Help: "Full segments that are not sealed yet."}),
		backlogBytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "strata_seal_backlog_bytes", Help: "Bytes of full segments that are not sealed yet."}),
		sealSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "strata_seal_seconds", Help: "Duration of seals.", Buckets: prometheus.ExponentialBuckets(0.05, 2, 12),
		}),
	}
	registry.MustRegister(m.failures, m.backlog, m.backlogBytes, m.sealSeconds)
	return m
}

// offloadEvents counts what an offloader tells; it logs by itself.
func offloadEvents(m *offloadMetrics) offload.Events {
	return offload.Events{
		Sealed: func(s offload.Sealed) {
			m.seals.Inc()
			m.rawBytes.Add(float64(s.RawBytes))
			m.storedBytes.Add(float64(s.StoredBytes))
			m.metaBytes.Add(float64(s.MetaBytes))
			m.puts.Add(float64(s.Puts))
			m.sealSeconds.Observe(s.Took.Seconds())
		},
		Trimmed: func(offload.Segment) { m.trims.Inc() },
		Backlog: func(segments int, bytes int64) {
			m.backlog.Set(float64(segments))
			m.backlogBytes.Set(float64(bytes))
		},
		Failed: func(step offload.Step, _ error, _ int, _ time.Duration) {
			m.failures.WithLabelValues(string(step)).Inc()
		},
	}
}

// newOffloader returns the offloader of the shard. Store must have been probed.
func (s *Server) newOffloader(store tiering.ObjectStore, caps tiering.Capabilities, client *meta.Client) (*offload.Offloader, error) {
	return offload.New(offload.Options{
		Config:  offloadConfig(s.config.LocalRetention, s.config.SealCodec),
		Cluster: s.cluster.ID,
		Source:  source{s.shard},
		Store:   store,
		Caps:    caps,
		Meta:    client,
		Clock:   clock.Real(),
		Rand:    newRand(),
		Class:   retentionClass(s.catalog),
		Budget:  offload.NewBudget(sealBudget),
		Logger:  s.log,
		Events:  offloadEvents(s.offloadMetrics),
	})
}
