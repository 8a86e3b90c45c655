package adminapi

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// Limits of the API.
const (
	maxRequestBytes = 5 << 20 // the largest body, its properties, and what JSON adds
	unaryTimeout    = 30 * time.Second
	maxStreams      = 64 // tails and queries at a time
	defaultPage     = 500
	maxPage         = 5000
)

// Catalog knows topics and groups, and changes them. What it returns is shared and never changed.
type Catalog interface {
	TopicByName(ctx context.Context, name string) (*meta.Topic, error)
	TopicByID(id message.TopicID) (*meta.Topic, bool)
	Topics() []*meta.Topic // sorted by name
	EndedTopics() []*meta.Topic
	CreateTopic(ctx context.Context, t meta.Topic) (*meta.Topic, error)
	UpdateTopic(ctx context.Context, name string, change func(*meta.Topic) error) (*meta.Topic, error)
	DeleteTopic(ctx context.Context, name string) (*meta.Topic, error)
	ConfirmEnded(ctx context.Context, name string, id message.TopicID) error

	GroupByName(ctx context.Context, name string) (*meta.Group, error)
	Groups() []*meta.Group // sorted by name
	CreateGroup(ctx context.Context, g meta.Group) (*meta.Group, error)
	DeleteGroup(ctx context.Context, name string) (*meta.Group, error)
}

// Options are the parts of a Service.
type Options struct {
	Catalog  Catalog
	Proxy    *proxy.Proxy
	Shards   []storelayer.Shard // in the order of the cluster's list
	Segments Segments
	Status   func() Status
	Logger   *slog.Logger
	Rand     *rand.Rand // for message ids; not kept
}

// Service implements the admin API. It is safe for concurrent use.
type Service struct {
	catalog  Catalog
	proxy    *proxy.Proxy
	shards   []storelayer.Shard
	segments Segments
	status   func() Status
	log      *slog.Logger

	ids     *message.IDSource
	streams chan struct{} // a slot for each stream that is served
}

var _ adminv1connect.AdminServiceHandler = (*Service)(nil)

// New returns a service.
func New(o Options) *Service {
	return &Service{
		catalog:  o.Catalog,
		proxy:    o.Proxy,
		shards:   o.Shards,
		segments: o.Segments,
		status:   o.Status,
		log:      o.Logger,
		ids:      message.NewIDSource(time.Now, o.Rand),
		streams:  make(chan struct{}, maxStreams),
	}
}

// Handler returns the path prefix and the handler that serves it.
func (s *Service) Handler() (string, http.Handler) {
	return adminv1connect.NewAdminServiceHandler(s,
		connect.WithReadMaxBytes(maxRequestBytes),
		connect.WithInterceptors(unaryLimit(s.log)),
	)
}

// unaryLimit bounds the time of a call, turns its error into a Connect error, and logs those of our own.
func unaryLimit(log *slog.Logger) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			ctx, cancel := context.WithTimeout(ctx, unaryTimeout)
			defer cancel()
			res, err := next(ctx, req)
			if err != nil {
				return nil, answerError(log, req.Spec().Procedure, err)
			}
			return res, nil
		}
	}
}

// stream takes a slot for a stream; the caller gives it back.
func (s *Service) stream() (release func(), err error) {
	select {
	case s.streams <- struct{}{}:
		return func() { <-s.streams }, nil
	default:
		return nil, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d tails and queries are being served, which is the limit", maxStreams))
	}
}

// shardOf returns the shard of a topic's queue. That of a system topic's is the i-th of the cluster's list.
func (s *Service) shardOf(topic *meta.Topic, id message.QueueID) (storelayer.Shard, error) {
	if topic.System() {
		if int(id) < len(s.shards) {
			return s.shards[id], nil
		}
		return nil, fmt.Errorf("%w: queue %d of %s, which has %d", storelayer.ErrQueueNotFound, id, topic.Name, len(s.shards))
	}
	if int64(id) >= int64(len(topic.Shards)) {
		return nil, fmt.Errorf("%w: queue %d of %s, which has %d", storelayer.ErrQueueNotFound, id, topic.Name, len(topic.Shards))
	}
	for _, shard := range s.shards {
		if shard.ID() == topic.Shards[id] {
			return shard, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", proxy.ErrNoShard, topic.Shards[id])
}

// queueCount returns how many queues a topic has.
func (s *Service) queueCount(topic *meta.Topic) int {
	if topic.System() {
		return len(s.shards)
	}
	return topic.Queues
}

// queuesOf returns the queues asked for after checking them, all of the topic's if there are none.
func (s *Service) queuesOf(topic *meta.Topic, asked []uint32) ([]message.QueueID, error) {
	n := s.queueCount(topic)
	if len(asked) == 0 {
		all := make([]message.QueueID, n)
		for i := range all {
			all[i] = message.QueueID(i)
		}
		return all, nil
	}
	if len(asked) > n {
		return nil, invalid("queues: %d named, topic %s has %d", len(asked), topic.Name, n)
	}
	out := make([]message.QueueID, 0, len(asked))
	for _, q := range asked {
		if int64(q) >= int64(n) {
			return nil, fmt.Errorf("%w: queue %d of %s, which has %d", storelayer.ErrQueueNotFound, q, topic.Name, n)
		}
		out = append(out, message.QueueID(q))
	}
	return out, nil
}

// pageSize returns how many items an answer may have.
func pageSize(asked uint32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(min(asked, maxPage))
}
