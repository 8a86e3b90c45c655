package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer/shard"
)

// restoreTimeout bounds what a start spends on one topic whose record is gone: a bucket that is away keeps
// nobody waiting.
const restoreTimeout = 5 * time.Second

// lostMetrics counts topics that have messages and no record.
type lostMetrics struct {
	restored prometheus.Counter
	lost     prometheus.Gauge
}

func newLostMetrics(registry prometheus.Registerer) *lostMetrics {
	m := &lostMetrics{
		restored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strata_topics_restored_total", Help: "Topics whose record the metadata store had lost and the start made anew from the log.",
		}),
		lost: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strata_topics_lost", Help: "Topics that have messages and no record, so that nobody can reach them.",
		}),
	}
	registry.MustRegister(m.restored, m.lost)
	return m
}

// findLostTopics compares the topics that the shard has messages of with the catalog, which must be complete. A
// store that drops a value says nothing of it, and the topic would be unknown although it is acknowledged: so its
// record is made anew from what its messages say. It returns why the metadata is not whole, if something is missing.
func (s *Server) findLostTopics(ctx context.Context) (reason string) {
	log := s.log.With("component", partMeta)
	var lost []string
	for _, held := range s.shard.Topics() {
		if s.catalog.Knows(held.ID) {
			continue
		}
		name, err := s.restoreTopic(ctx, held)
		if err == nil {
			s.lost.restored.Inc()
			log.Error("the metadata store has lost a topic, it was rebuilt from the log; check its number of queues and its settings",
				"topic", name, "id", held.ID.String(), "queues", held.Queues, "messages", held.Messages)
			continue
		}
		log.Error("the metadata store has lost a topic, its messages cannot be reached; stop, and put meta/ back from a copy",
			"topic", name, "id", held.ID.String(), "queues", held.Queues, "messages", held.Messages, "err", err)
		lost = append(lost, fmt.Sprintf("%q (id %s, %d messages)", name, held.ID, held.Messages))
	}
	s.lost.lost.Set(float64(len(lost)))
	if len(lost) == 0 {
		return ""
	}
	slices.Sort(lost)
	return fmt.Sprintf("the metadata store has lost topics that have messages: %s; stop, and put meta/ back from a copy", strings.Join(lost, ", "))
}

// restoreTopic makes the record of a topic from its messages; topics of other types than NORMAL cannot be made
// yet, so it was one. The name is returned if it could be read.
func (s *Server) restoreTopic(ctx context.Context, held shard.HeldTopic) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	m, err := s.shard.Newest(ctx, held.ID)
	if err != nil {
		return "", err
	}
	t := meta.Topic{Name: m.Topic, ID: held.ID, Queues: held.Queues, Type: meta.TypeNormal, Ack: meta.AckDurable}
	if !t.System() {
		t.Shards = slices.Repeat([]message.ShardID{theShard}, t.Queues)
	}
	_, err = s.catalog.RestoreTopic(ctx, t)
	return m.Topic, err
}
