package grpcapi

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// Metrics are what the protocol counts. Labels are from closed sets.
type Metrics struct {
	registry prometheus.Registerer
	calls    map[string]map[pb.Code]prometheus.Counter // by RPC and code
}

// NewMetrics registers the protocol's metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{registry: registry, calls: map[string]map[pb.Code]prometheus.Counter{}}
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "strata_grpc_calls_total",
		Help: "gRPC v2 calls answered, by RPC and by the code inside the answer.",
	}, []string{"rpc", "code"})
	registry.MustRegister(calls)
	for _, method := range pb.MessagingService_ServiceDesc.Methods {
		m.calls[method.MethodName] = codeCounters(calls, method.MethodName)
	}
	for _, stream := range pb.MessagingService_ServiceDesc.Streams {
		m.calls[stream.StreamName] = codeCounters(calls, stream.StreamName)
	}
	return m
}

// codeCounters resolves the counters of one RPC, so that counting a call is one atomic addition.
func codeCounters(calls *prometheus.CounterVec, rpc string) map[pb.Code]prometheus.Counter {
	out := map[pb.Code]prometheus.Counter{}
	for number := range pb.Code_name {
		code := pb.Code(number)
		out[code] = lazyCounter(calls, rpc, code)
	}
	return out
}

func lazyCounter(calls *prometheus.CounterVec, rpc string, code pb.Code) prometheus.Counter {
	return calls.WithLabelValues(rpc, code.String())
}

// answered counts a call.
func (m *Metrics) answered(rpc string, code pb.Code) { m.calls[rpc][code].Inc() }

// inFlight shows what is being served.
func (m *Metrics) inFlight(requestBytes, polls *atomic.Int64) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_grpc_in_flight_bytes",
			Help: "Bytes of send requests being served.",
		}, func() float64 { return float64(requestBytes.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "strata_grpc_long_polls",
			Help: "Receives and pulls being served.",
		}, func() float64 { return float64(polls.Load()) }),
	)
}
