package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/meta/catalog"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/shard"
)

// scrapeTimeout bounds what one scrape asks of a shard.
const scrapeTimeout = 2 * time.Second

// otherLabel stands for the pairs of topic and group beyond the bound.
const otherLabel = "_other"

// gauges shows, at each scrape, what there is at that moment: topics, groups, their lag. The names are
// RocketMQ's.
type gauges struct {
	catalog *catalog.Catalog
	shard   *shard.Shard
	limit   int // pairs of topic and group with series of their own; the others are added up in one
	log     *slog.Logger

	topics, groups                *prometheus.Desc
	lag, inFlight, ready, storage *prometheus.Desc
}

func newGauges(topics *catalog.Catalog, s *shard.Shard, limit int, log *slog.Logger) *gauges {
	perGroup := []string{"topic", "consumer_group"}
	return &gauges{
		catalog:  topics,
		shard:    s,
		limit:    limit,
		log:      log,
		topics:   prometheus.NewDesc("rocketmq_topic_number", "Topics, the broker's own included.", nil, nil),
		groups:   prometheus.NewDesc("rocketmq_consumer_group_number", "Consumer groups.", nil, nil),
		lag:      prometheus.NewDesc("rocketmq_consumer_lag_messages", "Messages that a group has not settled.", perGroup, nil),
		inFlight: prometheus.NewDesc("rocketmq_consumer_inflight_messages", "Messages leased to consumers of a group.", perGroup, nil),
		ready:    prometheus.NewDesc("rocketmq_consumer_ready_messages", "Messages that a consumer of a group would get at once.", perGroup, nil),
		storage:  prometheus.NewDesc("rocketmq_storage_size", "Bytes of local segments.", nil, nil),
	}
}

// Describe implements [prometheus.Collector].
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.topics, g.groups, g.lag, g.inFlight, g.ready, g.storage} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, value int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	send(g.topics, int64(len(g.catalog.Topics())))
	send(g.groups, int64(len(g.catalog.Groups())))
	local := int64(0)
	for _, seg := range g.shard.Segments() {
		local += seg.FileSize
	}
	send(g.storage, local)

	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	states, err := g.shard.Groups(ctx, "")
	if err != nil {
		g.log.Warn("no progress of groups for this scrape", "err", err)
		return
	}
	for pair, sum := range g.sums(states) {
		send(g.lag, sum.lag, pair[0], pair[1])
		send(g.inFlight, sum.inFlight, pair[0], pair[1])
		send(g.ready, sum.ready, pair[0], pair[1])
	}
}

type groupSum struct{ lag, inFlight, ready int64 }

// sums adds up the queues of each pair of topic and group.
func (g *gauges) sums(states []storelayer.GroupState) map[[2]string]groupSum {
	sums := make(map[[2]string]groupSum)
	for _, st := range states {
		pair := [2]string{otherLabel, st.Group}
		if t, ok := g.catalog.TopicByID(st.Queue.Topic); ok {
			pair[0] = t.Name
		}
		if _, known := sums[pair]; !known && len(sums) >= g.limit {
			pair = [2]string{otherLabel, otherLabel}
		}
		sum := sums[pair]
		sum.lag += max(int64(st.Next-st.Committed)-st.Settled, 0)
		sum.inFlight += st.InFlight
		sum.ready += st.Ready
		sums[pair] = sum
	}
	return sums
}
