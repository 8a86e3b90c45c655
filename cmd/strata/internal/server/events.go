package server

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/shard"
)

// shardMetrics counts what a shard tells by its events.
type shardMetrics struct {
	records, bytes            prometheus.Counter
	deadLettered, deadFailed  prometheus.Counter
	expired, snapshotFailures prometheus.Counter
	syncs                     prometheus.Histogram
	fillWaits                 prometheus.Counter
	diskLow                   prometheus.Gauge
	recoverySeconds           prometheus.Gauge
}

func newShardMetrics(registry prometheus.Registerer) *shardMetrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		registry.MustRegister(g)
		return g
	}
	syncs := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "strata_log_sync_seconds", Help: "Duration of the syncs of the log.", Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
	})
	registry.MustRegister(syncs)
	return &shardMetrics{
		syncs:            syncs,
		fillWaits:        counter("strata_log_fill_wait_seconds_total", "Time that commits waited for zero-filled space."),
		records:          counter("strata_log_records_total", "Records that became durable."),
		bytes:            counter("strata_log_bytes_total", "Bytes of frames that became durable, padding included."),
		deadLettered:     counter("rocketmq_send_to_dlq_messages_total", "Messages moved to a dead-letter topic."),
		deadFailed:       counter("strata_shard_dead_letter_failures_total", "Tries to move a message to its dead-letter topic that failed."),
		expired:          counter("strata_shard_expired_messages_total", "Unsettled messages that retention passed."),
		snapshotFailures: counter("strata_shard_snapshot_failures_total", "Snapshots of derived state that could not be written."),
		diskLow:          gauge("strata_disk_below_mark", "1 while free disk space is below the disk mark and sends are refused."),
		recoverySeconds:  gauge("strata_shard_recovery_seconds", "How long the last start took to recover the shard."),
	}
}

// shardEvents joins a shard's events to log and metrics. Full is called when a segment has become full.
func shardEvents(log *slog.Logger, m *shardMetrics, full func()) shard.Events {
	return shard.Events{
		Log: logEvents(log, m, full),
		Recovered: func(r shard.Recovery) {
			m.recoverySeconds.Set(r.Took.Seconds())
			log.Info("shard recovered", "snapshot", r.HadSnapshot, "from", uint64(r.Snapshot), "to", uint64(r.Replayed),
				"records", r.Records, "rebuilt_queue_files", r.Rebuilt, "took", r.Took)
		},
		Snapshot: func(start message.Position, bytes int, err error) {
			if err != nil {
				m.snapshotFailures.Inc()
				log.Error("snapshot failed", "start", uint64(start), "err", err)
				return
			}
			log.Debug("snapshot written", "start", uint64(start), "bytes", bytes)
		},
		DeadLettered: func(group string, q message.Queue, offset message.Offset) {
			m.deadLettered.Inc()
			log.Info("message dead-lettered", "group", group, "queue", q.String(), "offset", int64(offset))
		},
		DeadLetter: func(group string, q message.Queue, offset message.Offset, err error) {
			m.deadFailed.Inc()
			log.Warn("message not dead-lettered yet", "group", group, "queue", q.String(), "offset", int64(offset), "err", err)
		},
		Expired: func(group string, q message.Queue, messages int64) {
			m.expired.Add(float64(messages))
			log.Warn("unsettled messages passed their retention", "group", group, "queue", q.String(), "messages", messages)
		},
		DiskLow: func(low bool, free int64) {
			if low {
				m.diskLow.Set(1)
				log.Error("free disk space is below the disk mark, sends are refused", "free_bytes", free)
				return
			}
			m.diskLow.Set(0)
			log.Info("free disk space is above the disk mark again", "free_bytes", free)
		},
	}
}

// logEvents joins the events of a shard's log to log and metrics.
func logEvents(log *slog.Logger, m *shardMetrics, full func()) commitlog.Events {
	return commitlog.Events{
		Recovered: func(r commitlog.Recovery) {
			if r.Cut > 0 {
				log.Warn("the log ended in a frame that was never finished, it was cut off", "end", uint64(r.End), "bytes", r.Cut)
			}
		},
		Rolled: func(s commitlog.SegmentInfo) {
			log.Info("segment begun", "base", uint64(s.Base))
			full()
		},
		Committed: func(bytes, records int, sync time.Duration) {
			m.bytes.Add(float64(bytes))
			m.records.Add(float64(records))
			m.syncs.Observe(sync.Seconds())
		},
		FillWait: func(waited time.Duration) { m.fillWaits.Add(waited.Seconds()) },
		Fenced:   func(err error) { log.Error("the log's disk failed, nothing new is taken", "err", err) },
		Time: func(trust clock.Trust, storeTime int64) {
			log.Warn("store time follows the wall clock differently now", "trust", trust.String(), "store_time", storeTime)
		},
	}
}
