package proxy

import (
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stratamq/stratamq/meta"
)

// Metrics are what a proxy counts, under RocketMQ's names where it has one.
type Metrics struct {
	log   *slog.Logger
	limit int

	messagesIn, bytesIn   *prometheus.CounterVec
	messageSize           *prometheus.HistogramVec
	messagesOut, bytesOut *prometheus.CounterVec
	producers             *prometheus.GaugeVec
	consumers             *prometheus.GaugeVec
	coldClosed            prometheus.Gauge
	coldReleased          prometheus.Counter
	coldFiltered          prometheus.Counter

	mu struct {
		sync.Mutex
		topics map[string]bool    // with series of their own
		groups map[[2]string]bool // topic and group, likewise
		full   bool               // said so
	}
}

// otherLabel stands for the topics and groups beyond the bound.
const otherLabel = "_other"

// NewMetrics registers a proxy's metrics. At most limit topics, and as many pairs of topic and group, have
// series of their own; the others share one, and that is logged.
func NewMetrics(registry prometheus.Registerer, limit int, log *slog.Logger) *Metrics {
	m := &Metrics{
		log:   log,
		limit: limit,
		messagesIn: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rocketmq_messages_in_total", Help: "Messages stored for producers.",
		}, []string{"topic", "message_type", "is_system"}),
		bytesIn: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rocketmq_throughput_in_total", Help: "Bytes of bodies stored for producers.",
		}, []string{"topic", "message_type", "is_system"}),
		messageSize: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "rocketmq_message_size", Help: "Mean body of the messages of a send, in bytes.",
			Buckets: []float64{1 << 10, 4 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20},
		}, []string{"topic", "message_type"}),
		messagesOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rocketmq_messages_out_total", Help: "Messages handed to consumers.",
		}, []string{"topic", "consumer_group", "is_system", "is_retry"}),
		bytesOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rocketmq_throughput_out_total", Help: "Bytes of stored messages handed to consumers.",
		}, []string{"topic", "consumer_group", "is_system"}),
		producers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rocketmq_producer_connections", Help: "Producers that are alive.",
		}, []string{"language", "protocol_type"}),
		consumers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "rocketmq_consumer_connections", Help: "Consumers that are alive.",
		}, []string{"language", "consume_mode", "protocol_type"}),
		coldClosed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "strata_cold_closed_queues", Help: "Queues that are not consumed because their history cannot be read.",
		}),
		coldReleased: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strata_cold_released_total", Help: "Leased messages given back because their bytes could not be read or did not fit.",
		}),
		coldFiltered: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "strata_cold_settled_total", Help: "Leased messages settled because they did not match, or were past their retention.",
		}),
	}
	m.mu.topics, m.mu.groups = map[string]bool{}, map[[2]string]bool{}
	registry.MustRegister(m.messagesIn, m.bytesIn, m.messageSize, m.messagesOut, m.bytesOut, m.producers, m.consumers,
		m.coldClosed, m.coldReleased, m.coldFiltered)
	return m
}

// topicStats are the resolved counters of one topic, so that counting looks nothing up.
type topicStats struct {
	metrics  *Metrics
	topic    string
	system   string
	messages prometheus.Counter
	bytes    prometheus.Counter
	size     prometheus.Observer
	groups   sync.Map // group name → *groupStats
}

// groupStats are those of a topic and a group.
type groupStats struct {
	fresh, retried prometheus.Counter
	bytes          prometheus.Counter
}

// topic resolves the counters of a topic.
func (m *Metrics) topic(topic *meta.Topic) *topicStats {
	name, system := topic.Name, "false"
	if topic.System() {
		system = "true"
	}
	m.mu.Lock()
	if !m.mu.topics[name] && len(m.mu.topics) >= m.limit {
		m.fullLocked()
		name = otherLabel
	}
	m.mu.topics[name] = true
	m.mu.Unlock()
	kind := string(topic.Type)
	return &topicStats{
		metrics:  m,
		topic:    name,
		system:   system,
		messages: m.messagesIn.WithLabelValues(name, kind, system),
		bytes:    m.bytesIn.WithLabelValues(name, kind, system),
		size:     m.messageSize.WithLabelValues(name, kind),
	}
}

// fullLocked says once that series are shared from now on.
func (m *Metrics) fullLocked() {
	if !m.mu.full {
		m.mu.full = true
		m.log.Warn("more topics or groups than metrics have room for, the others are counted together", "limit", m.limit, "label", otherLabel)
	}
}

// sent counts a send.
func (t *topicStats) sent(messages, bytes int) {
	t.messages.Add(float64(messages))
	t.bytes.Add(float64(bytes))
	t.size.Observe(float64(bytes) / float64(messages))
}

// received counts what a group was handed.
func (t *topicStats) received(group string, received []Received) {
	if len(received) == 0 {
		return
	}
	g := t.group(group)
	fresh, bytes := 0, 0
	for i := range received {
		bytes += len(received[i].Bytes)
		if received[i].Handle.Attempt <= 1 {
			fresh++
		}
	}
	g.fresh.Add(float64(fresh))
	g.bytes.Add(float64(bytes))
	if retried := len(received) - fresh; retried > 0 {
		g.retried.Add(float64(retried))
	}
}

// group resolves the counters of a group.
func (t *topicStats) group(name string) *groupStats {
	if known, ok := t.groups.Load(name); ok {
		return known.(*groupStats)
	}
	m, label := t.metrics, name
	m.mu.Lock()
	if key := [2]string{t.topic, name}; !m.mu.groups[key] {
		if len(m.mu.groups) >= m.limit {
			m.fullLocked()
			label = otherLabel
		} else {
			m.mu.groups[key] = true
		}
	}
	m.mu.Unlock()
	g := &groupStats{
		fresh:   m.messagesOut.WithLabelValues(t.topic, label, t.system, "false"),
		retried: m.messagesOut.WithLabelValues(t.topic, label, t.system, "true"),
		bytes:   m.bytesOut.WithLabelValues(t.topic, label, t.system),
	}
	known, _ := t.groups.LoadOrStore(name, g)
	return known.(*groupStats)
}

// connections shows who is alive.
func (m *Metrics) connections(sessions *Sessions) {
	m.producers.Reset()
	m.consumers.Reset()
	for _, c := range sessions.Clients() {
		language := knownLanguage(c.Language)
		if c.Kind == Producer {
			m.producers.WithLabelValues(language, c.Protocol).Inc()
		} else {
			m.consumers.WithLabelValues(language, c.Kind.String(), c.Protocol).Inc()
		}
	}
}

// knownLanguage keeps the label in a closed set, whatever a client calls its language.
func knownLanguage(language string) string {
	switch language {
	case "JAVA", "CPP", "DOT_NET", "GOLANG", "RUST", "PYTHON", "PHP", "NODE_JS", "RUBY", "OBJECTIVE_C", "DART", "KOTLIN":
		return language
	case "GO":
		return "GOLANG"
	case "DOTNET":
		return "DOT_NET"
	case "HTTP":
		return "NODE_JS" // what the Node client's header says
	default:
		return otherLabel
	}
}
