package adminapi

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/catalog"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/proxy/internal/shardfake"
	"github.com/stratamq/stratamq/storelayer"
)

// fakeShard is a shard in memory that remembers the resets and deletions it was told.
type fakeShard struct {
	*shardfake.Shard

	mu struct {
		sync.Mutex
		fail  error
		ended []message.TopicID
		reset map[message.Queue]message.Offset
	}
}

func (s *fakeShard) Reset(_ context.Context, req *storelayer.ResetRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.reset == nil {
		s.mu.reset = make(map[message.Queue]message.Offset)
	}
	s.mu.reset[req.Queue] = req.Offset
	return nil
}

func (s *fakeShard) resetTo(q message.Queue) message.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.reset[q]
}

func (s *fakeShard) DeleteTopic(_ context.Context, id message.TopicID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.fail != nil {
		return s.mu.fail
	}
	s.mu.ended = append(s.mu.ended, id)
	return nil
}

func (s *fakeShard) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fail = err
}

func (s *fakeShard) endedTopics() []message.TopicID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]message.TopicID(nil), s.mu.ended...)
}

// rig is the API over HTTP, in front of two shards in memory and a real catalog.
type rig struct {
	t       *testing.T
	shards  [2]*fakeShard
	catalog *catalog.Catalog
	proxy   *proxy.Proxy
	service *Service
	client  adminv1connect.AdminServiceClient
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t}
	log := slog.New(slog.DiscardHandler)
	var shards []storelayer.Shard
	cluster := meta.Cluster{ID: "c", Name: "c", Incarnation: "i", NextTopicID: 1}
	for i := range r.shards {
		r.shards[i] = &fakeShard{Shard: shardfake.New(message.ShardID(i))}
		shards = append(shards, r.shards[i])
		cluster.Shards = append(cluster.Shards, message.ShardID(i))
	}
	store := memory.Open(memory.NewData())
	client := meta.NewClient(store, "test", rand.New(rand.NewPCG(1, 1)))
	if err := meta.CreateCluster(t.Context(), client, cluster); err != nil {
		t.Fatal(err)
	}
	r.catalog = catalog.New(client, time.Now, log)
	config := proxy.DefaultConfig()
	var err error
	r.proxy, err = proxy.New(config, r.catalog, shards, nil, proxy.NewMetrics(prometheus.NewRegistry(), config.MetricTopics, log), log)
	if err != nil {
		t.Fatal(err)
	}
	r.service = New(Options{
		Catalog: r.catalog,
		Proxy:   r.proxy,
		Shards:  shards,
		Status: func() Status {
			return Status{Version: "v1", Parts: []Part{{Name: "shard", Required: true, Reason: "starting"}}}
		},
		Logger: log,
		Rand:   rand.New(rand.NewPCG(2, 2)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- r.catalog.Run(ctx) }()
	_, handler := r.service.Handler()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		cancel()
		if err := errors.Join(<-ran, store.Close()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-r.catalog.Ready()
	r.client = adminv1connect.NewAdminServiceClient(server.Client(), server.URL)
	return r
}

func (r *rig) createTopic(name string, queues uint32) *adminv1.Topic {
	r.t.Helper()
	res, err := r.client.CreateTopic(r.t.Context(), &adminv1.CreateTopicRequest{Topic: &adminv1.Topic{Name: name, Queues: queues}})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetTopic()
}

// send sends a message with the key "k" to the topic "orders".
func (r *rig) send(body string) *adminv1.SendMessageResponse {
	r.t.Helper()
	res, err := r.client.SendMessage(r.t.Context(), &adminv1.SendMessageRequest{Topic: "orders", Body: []byte(body), Keys: []string{"k"}})
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// wantCode checks the code of an error.
func wantCode(t *testing.T, err error, want connect.Code) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}
