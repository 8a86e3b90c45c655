package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/catalog"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/proxy/adminapi"
	"github.com/stratamq/stratamq/proxy/grpcapi"
	"github.com/stratamq/stratamq/proxy/listen"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/shard"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/offload"
)

// Server is an opened broker.
type Server struct {
	config  config.Config
	version string
	started time.Time
	log     *slog.Logger
	health  *health
	closers []func() error // in the order of the opens

	folder   *folder
	cluster  meta.Cluster
	meta     *meta.Client
	catalog  *catalog.Catalog
	shard    *shard.Shard
	objects  tiering.ObjectStore
	history  *history.History
	probe    *bucketProbe
	proxy    *proxy.Proxy
	grpc     *grpcapi.Server
	grpcAt   net.Listener
	admin    *adminapi.Service
	http     *http.Server
	httpAt   net.Listener
	stopHTTP context.CancelFunc // ends the streams of the admin API
	cert     *listen.Certificate
	registry *prometheus.Registry

	opened         atomic.Pointer[shard.Shard] // shard, for those who may ask before it is there
	offloadMetrics *offloadMetrics
	lost           *lostMetrics
	offloader      atomic.Pointer[offload.Offloader] // nil until the object store has answered
}

// Open takes the data folder and opens everything, up to the listeners, which accept but are not
// answered before Run. It fails with [vfs.ErrLocked] if another process has the folder, and with a
// [*commitlog.DamageError] if the log is not what it was.
func Open(ctx context.Context, c config.Config, version string, log *slog.Logger) (_ *Server, err error) {
	s := &Server{config: c, version: version, started: time.Now(), log: log, health: newHealth(), registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, open := range []func(context.Context) error{s.openFolder, s.openMeta, s.openObjects, s.openHistory, s.openShard, s.openProxy, s.waitProbe, s.openHTTP} {
		if err := open(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// closeLater notes what Close has to close, before all that was opened earlier.
func (s *Server) closeLater(closer func() error) { s.closers = append(s.closers, closer) }

// Close releases everything that Open opened; Run must have returned or never been called.
func (s *Server) Close() error {
	var errs []error
	for _, closer := range slices.Backward(s.closers) {
		errs = append(errs, closer())
	}
	s.closers = nil
	return errors.Join(errs...)
}

func (s *Server) openFolder(context.Context) error {
	f, err := openFolder(osfs.FS{}, s.config.DataDir, s.started)
	if err != nil {
		return err
	}
	s.folder = f
	s.closeLater(f.close)
	return nil
}

func (s *Server) openMeta(ctx context.Context) error {
	store, client, cluster, err := openMeta(ctx, s.folder, s.log.With("component", partMeta))
	if err != nil {
		return err
	}
	s.closeLater(store.Close)
	s.meta, s.cluster = client, cluster
	s.catalog = catalog.New(client, time.Now, s.log.With("component", "catalog"))
	s.lost = newLostMetrics(s.registry)
	return nil
}

func (s *Server) openShard(ctx context.Context) error {
	claims := claims{client: s.meta, incarnation: s.folder.incarnation, acceptCopy: s.config.AcceptCopiedData, log: s.log}
	known, err := claims.known(ctx)
	if err != nil {
		return err
	}
	log := s.log.With("component", partShard, "shard", theShard.String())
	config := shard.DefaultConfig()
	config.SegmentSize, config.SealMaxAge, config.DiskMark = s.config.SegmentSize, s.config.SealMaxAge, s.config.DiskMark
	s.shard, err = shard.Open(ctx, shard.Options{
		Config:      config,
		ID:          theShard,
		FS:          s.folder.fs,
		Dir:         s.folder.path(shardsDir, theShard.String()),
		Clock:       clock.Real(),
		Rand:        newRand(),
		Logger:      log,
		Create:      !known,
		NextEpoch:   claims.next,
		DeadLetters: deadLetters{s.catalog},
		Bucket:      bucket{history: s.history, shard: func() *shard.Shard { return s.opened.Load() }},
		Events:      shardEvents(log, newShardMetrics(s.registry), s.wakeOffloader),
	})
	if err != nil {
		return err
	}
	s.opened.Store(s.shard)
	s.closeLater(s.shard.Close)
	return nil
}

func (s *Server) openObjects(ctx context.Context) error {
	p, err := openObjects(ctx, s.config.ObjectStore, s.log.With("component", partObjectStore))
	if err != nil {
		return err
	}
	s.closeLater(p.close)
	s.probe, s.objects = p, p.store
	s.offloadMetrics = newOffloadMetrics(s.registry)
	return nil
}

// openProxy opens the proxy and its gRPC side.
func (s *Server) openProxy(ctx context.Context) error {
	log := s.log.With("component", partProxy)
	config := proxy.DefaultConfig()
	config.AutoCreateGroups = s.config.AutoCreateGroups
	var err error
	s.proxy, err = proxy.New(config, s.catalog, []storelayer.Shard{s.shard}, coldReads{s.history}, proxy.NewMetrics(s.registry, config.MetricTopics, log), log) //nolint:contextcheck // a proxy lives until Drain, not as long as this call
	if err != nil {
		return err
	}
	s.registry.MustRegister(newGauges(s.catalog, s.shard, config.MetricTopics, log))
	if s.cert, err = s.certificate(log); err != nil {
		return err
	}
	api := grpcapi.DefaultConfig()
	api.Advertise, api.BrokerName = s.config.GRPCAdvertise, s.cluster.Name
	api.LongPolling, api.MaxInFlightBytes = s.config.LongPolling, s.config.MaxInFlight
	if s.grpc, err = grpcapi.New(api, s.proxy, listen.Credentials(s.cert), grpcapi.NewMetrics(s.registry), log); err != nil {
		return err
	}
	s.grpcAt, err = s.listen(ctx, s.config.GRPCAddr)
	return err
}

// certificate returns the configured certificate, or the self-signed one of the data folder.
func (s *Server) certificate(log *slog.Logger) (*listen.Certificate, error) {
	if s.config.TLSCert != "" {
		return listen.LoadCertificate(s.config.TLSCert, s.config.TLSKey, log)
	}
	dir := s.folder.path(tlsDir)
	if err := s.folder.fs.MkdirAll(dir); err != nil {
		return nil, err
	}
	var hosts []string
	for _, addr := range []string{s.config.GRPCAddr, s.config.GRPCAdvertise} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
			hosts = append(hosts, host)
		}
	}
	return listen.SelfSigned(dir, hosts, log)
}

func (s *Server) listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s.closeLater(func() error {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	return l, nil
}

func (s *Server) openHTTP(ctx context.Context) error {
	s.admin = adminapi.New(adminapi.Options{
		Catalog:  s.catalog,
		Proxy:    s.proxy,
		Shards:   []storelayer.Shard{s.shard},
		Segments: &segments{cluster: s.cluster.ID, shard: s.shard, store: s.objects, meta: s.meta},
		Status:   s.status,
		Rand:     newRand(),
		Logger:   s.log.With("component", "admin"),
	})
	var err error
	if s.httpAt, err = s.listen(ctx, s.config.HTTPAddr); err != nil {
		return err
	}
	streams, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopHTTP = stop
	s.http = newHTTPServer(streams, s.health, s.registry, s.admin, s.config.Pprof, s.log.With("component", "http"))
	return nil
}

// deadLetters finds the queue of a group's dead letters.
type deadLetters struct{ catalog *catalog.Catalog }

// DeadLetterQueue implements [shard.DeadLetters].
func (d deadLetters) DeadLetterQueue(ctx context.Context, group string) (string, message.Queue, error) {
	topic, err := d.catalog.EnsureDeadLetterTopic(ctx, group)
	if err != nil {
		return "", message.Queue{}, err
	}
	// A system topic's queue i is on the cluster's i-th shard; there is one.
	return topic.Name, message.Queue{Topic: topic.ID, ID: 0}, nil
}

// status is what GetStatus answers.
func (s *Server) status() adminapi.Status {
	return adminapi.Status{
		Version: s.version,
		Cluster: s.cluster.ID,
		Node:    nodeName,
		Started: s.started,
		Parts:   s.health.Parts(),
		Listeners: []adminapi.Listener{
			{Name: "grpc", Address: s.grpcAt.Addr().String(), Advertised: s.config.GRPCAdvertise},
			{Name: "http", Address: s.httpAt.Addr().String()},
		},
		DataDir:     s.config.DataDir,
		ObjectStore: s.objects.String(),
	}
}

// Banner says where everything is.
func (s *Server) Banner() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "StrataMQ %s\n", s.version)
	line("gRPC", "%s (TLS and plaintext)", s.grpcAt.Addr())
	if s.config.GRPCAdvertise != "" {
		line("", "advertised as %s", s.config.GRPCAdvertise)
	}
	line("HTTP", "http://%s (admin API, /metrics, /readyz)", s.httpAt.Addr())
	line("data", "%s", s.config.DataDir)
	line("objects", "%s", s.objects)
	line("certificate", "%s", relative(s.config.DataDir, s.cert.File()))
	line("", "SHA-256 %s", s.cert.Fingerprint())
	return b.String()
}

// relative shortens a path that lies in the data folder.
func relative(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.Join("(data)", rel)
	}
	return path
}
