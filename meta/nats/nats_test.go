package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/stratamq/stratamq/meta"
)

func openEmbedded(t testing.TB, dir string, log *slog.Logger) *Store {
	t.Helper()
	c := DefaultEmbeddedConfig()
	c.Dir = dir
	s, err := OpenEmbedded(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestEmbeddedOptions guards the two settings that the promise rests on: without SyncAlways a power
// cut lost every write of the last two minutes; without DontListen anybody on the machine may write.
func TestEmbeddedOptions(t *testing.T) {
	c := DefaultEmbeddedConfig()
	c.Dir = t.TempDir()
	o := serverOptions(c)
	if !o.SyncAlways || !o.DontListen || o.HTTPPort != 0 || o.HTTPSPort != 0 || o.ProfPort != 0 || o.Cluster.Port != 0 || !o.NoSigs {
		t.Errorf("options %+v", o)
	}
	if o.StoreDir != c.Dir || o.JetStreamMaxStore != c.Quota {
		t.Errorf("folder %s, quota %d", o.StoreDir, o.JetStreamMaxStore)
	}

	s := openEmbedded(t, c.Dir, discard())
	defer func() { _ = s.Close() }()
	if js := s.server.JetStreamConfig(); js == nil || !js.SyncAlways {
		t.Errorf("the running server has JetStream settings %+v", js)
	}
	if s.server.Addr() != nil {
		t.Errorf("the running server listens on %s", s.server.Addr())
	}
	for _, b := range meta.Buckets() {
		info, err := s.buckets[b].stream.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if k := info.Config; k.AllowDirect || k.MaxMsgsPerSubject != 1 || k.MaxAge != 0 || k.Storage != jetstream.FileStorage || k.PersistMode != jetstream.DefaultPersistMode {
			t.Errorf("bucket %s: %+v", b, k)
		}
	}
}

// TestStartAndStop prints what an embedded store costs; its bounds are wide, for a busy machine.
func TestStartAndStop(t *testing.T) {
	dir := t.TempDir()
	before := goleak.IgnoreCurrent()
	rss := residentKiB(t)
	for _, what := range []string{"empty folder", "again"} {
		started := time.Now()
		s := openEmbedded(t, dir, discard())
		opened := time.Since(started)
		goroutines, grown := runtime.NumGoroutine(), residentKiB(t)-rss
		started = time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		closed := time.Since(started)
		t.Logf("%s: open %s, close %s, %d goroutines, anonymous memory +%d KiB", what, opened, closed, goroutines, grown)
		if opened > 2*time.Second || closed > time.Second {
			t.Errorf("%s: open took %s, close %s", what, opened, closed)
		}
	}
	goleak.VerifyNone(t, before)
}

// residentKiB returns the process's anonymous resident memory.
func residentKiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("this system does not say how much memory a process has: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			var n int
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no RssAnon in /proc/self/status")
	return 0
}

func TestMissingBucketIsDamage(t *testing.T) {
	dir := t.TempDir()
	s := openEmbedded(t, dir, discard())
	if err := s.js.DeleteStream(t.Context(), streamName(meta.BucketTopics)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c := DefaultEmbeddedConfig()
	c.Dir = dir
	if _, err := OpenEmbedded(t.Context(), c, discard()); !errors.Is(err, meta.ErrDamaged) {
		t.Errorf("a store without its topics: %v", err)
	}
}

// TestFirstStartCutOff leaves some buckets made and the last one not: opening goes on from there.
func TestFirstStartCutOff(t *testing.T) {
	dir := t.TempDir()
	s := openEmbedded(t, dir, discard())
	for _, b := range []meta.Bucket{meta.BucketCluster, meta.BucketTopics} {
		if err := s.js.DeleteStream(t.Context(), streamName(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openEmbedded(t, dir, discard())
	if _, err := s.Create(t.Context(), meta.BucketTopics, "k", meta.Envelope{}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfigRefused(t *testing.T) {
	if err := (EmbeddedConfig{}).Validate(); err == nil || !strings.Contains(err.Error(), "dir:") || !strings.Contains(err.Error(), "quota:") {
		t.Errorf("embedded: %v", err)
	}
	err := RemoteConfig{CertFile: "x", Replicas: 2}.Validate()
	for _, field := range []string{"urls:", "key_file:", "replicas:", "bucket_size:", "request_timeout:"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("remote: %v does not name %s", err, field)
		}
	}
	c := DefaultRemoteConfig()
	c.URLs = []string{"nats://127.0.0.1:1"}
	if _, err := OpenRemote(t.Context(), c, discard()); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestOtherSettingsRefused(t *testing.T) {
	srv, c := startServer(t)
	s, err := OpenRemote(t.Context(), c, discard())
	if err != nil {
		t.Fatal(err)
	}
	config := layout{replicas: 1, maxBytes: -1}.streamConfig(meta.BucketUsers)
	config.AllowDirect = true
	if _, err := s.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := OpenRemote(t.Context(), c, discard()); !errors.Is(err, meta.ErrInvalid) {
		t.Errorf("a bucket with direct reads: %v", err)
	}
	_ = srv
}

func startServer(t *testing.T) (*server.Server, RemoteConfig) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { shutdown(srv) })
	c := DefaultRemoteConfig()
	c.URLs, c.Replicas, c.RequestTimeout = []string{srv.ClientURL()}, 1, time.Second
	return srv, c
}

// TestServerGone takes the server away. What is sent then must be refused or unknown, never
// "not found" and never a conflict.
func TestServerGone(t *testing.T) {
	srv, c := startServer(t)
	s, err := OpenRemote(t.Context(), c, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	shutdown(srv)
	if _, err := s.Get(t.Context(), meta.BucketTopics, "k"); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Create(t.Context(), meta.BucketTopics, "k", meta.Envelope{}); !errors.Is(err, meta.ErrUnavailable) && !errors.Is(err, meta.ErrUnknown) {
		t.Errorf("create: %v", err)
	}
	if err := s.Delete(t.Context(), meta.BucketTopics, "k", 1); !errors.Is(err, meta.ErrUnavailable) {
		t.Errorf("delete: %v", err)
	}
}

// TestSilentServer puts a server between that takes every byte and answers none: the one case in
// which a write cannot be known.
func TestSilentServer(t *testing.T) {
	srv, c := startServer(t)
	relay := newRelay(t, srv.Addr().String())
	c.URLs = []string{"nats://" + relay.listener.Addr().String()}
	s, err := OpenRemote(t.Context(), c, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	relay.mute()
	if _, err := s.Create(t.Context(), meta.BucketTopics, "k", meta.Envelope{Nonce: 5}); !errors.Is(err, meta.ErrUnknown) {
		t.Errorf("create: %v", err)
	}
	other, err := OpenRemote(t.Context(), RemoteConfig{URLs: []string{srv.ClientURL()}, Replicas: 1, BucketSize: -1, RequestTimeout: time.Second}, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if v, err := other.Get(t.Context(), meta.BucketTopics, "k"); err != nil || v.Nonce != 5 {
		t.Errorf("the write whose answer was lost: %+v, %v", v, err)
	}
}

func TestWriteOutcome(t *testing.T) {
	for _, c := range []struct {
		err, want error
	}{
		{context.DeadlineExceeded, meta.ErrUnknown},
		{context.Canceled, meta.ErrUnknown},
		{natsgo.ErrTimeout, meta.ErrUnknown},
		{natsgo.ErrConnectionClosed, meta.ErrUnknown},
		{natsgo.ErrReconnectBufExceeded, meta.ErrUnavailable},
		{natsgo.ErrNoResponders, meta.ErrUnavailable},
		{jetstream.ErrNoStreamResponse, meta.ErrUnavailable},
		{&jetstream.APIError{ErrorCode: 10071}, meta.ErrConflict},
		{&jetstream.APIError{ErrorCode: 10164}, meta.ErrConflict},
		{&jetstream.APIError{ErrorCode: 10047}, meta.ErrUnavailable},
		{&jetstream.APIError{ErrorCode: 10077}, meta.ErrUnknown},
		{&jetstream.APIError{Code: 503, ErrorCode: 10008}, meta.ErrUnknown},
	} {
		if got := writeOutcome(fmt.Errorf("wrapped: %w", c.err)); !errors.Is(got, c.want) {
			t.Errorf("%v means %v, want %v", c.err, got, c.want)
		}
	}
}

// TestQuiet opens a store at the level an operator reads and expects silence.
func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	s := openEmbedded(t, t.TempDir(), slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 0 {
		t.Errorf("log of a start and a stop:\n%s", out.String())
	}
}

// relay passes bytes between a client and a server until it is muted; then only towards the server.
type relay struct {
	listener net.Listener
	muted    chan struct{}
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, muted: make(chan struct{})}
	ctx := t.Context()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			down, err := listener.Accept()
			if err != nil {
				return
			}
			var d net.Dialer
			up, err := d.DialContext(ctx, "tcp", target)
			if err != nil {
				_ = down.Close()
				return
			}
			go r.pass(up, down, nil)
			go r.pass(down, up, r.muted)
		}
	}()
	return r
}

func (r *relay) mute() { close(r.muted) }

func (r *relay) pass(to, from net.Conn, muted <-chan struct{}) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-muted:
			continue
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
