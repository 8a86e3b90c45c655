package s3server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/s3"
)

// The credentials of every server. They protect nothing: it listens on loopback and holds test data.
const (
	AccessKey = "strata-test"
	SecretKey = "strata-test-secret"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 5 * time.Second
	portAttempts = 5 // another process may take the free port that was found
)

// Server is a running S3 server.
type Server struct {
	Endpoint string // "http://127.0.0.1:port"

	dir  string // a bucket is a directory in it
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  *safeBuffer   // what it printed
	stop sync.Once
}

// New starts a server over a new temporary directory, which ends with the test. It fails the test if it cannot.
func New(t testing.TB) *Server {
	t.Helper()
	binary, err := Binary(t.Context())
	if err != nil {
		t.Fatalf("S3 server: %v", err)
	}
	s, err := Start(t.Context(), binary, t.TempDir())
	if err != nil {
		t.Fatalf("S3 server: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts the server over dir, with further flags if there are any, and returns when it answers. Its life does not
// depend on ctx, which bounds the wait.
func Start(ctx context.Context, binary, dir string, flags ...string) (*Server, error) {
	var errs []error
	for range portAttempts {
		s, err := start(ctx, binary, dir, flags)
		if err == nil {
			return s, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func start(ctx context.Context, binary, dir string, flags []string) (*Server, error) {
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	s := &Server{Endpoint: "http://" + addr, dir: dir, done: make(chan struct{}), log: &safeBuffer{}}
	argv := append([]string{"--port", addr, "--access", AccessKey, "--secret", SecretKey, "--quiet", "--keep-alive", "--health", "/health"}, flags...)
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), binary, append(argv, "posix", dir)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	go func() {
		defer close(s.done)
		_ = s.cmd.Wait() // how it ended shows in its log and in the requests that fail
	}()
	if err := s.waitReady(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady asks until the server answers. The process is outside, so there is nothing to wait on but time.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.healthy(ctx) {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("the server ended at its start: %s", s.log)
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w: %s", context.Cause(ctx), s.log)
		}
	}
}

func (s *Server) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+"/health", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// CreateBucket makes an empty bucket.
func (s *Server) CreateBucket(name string) error {
	return os.Mkdir(filepath.Join(s.dir, name), 0o750)
}

// Location names a bucket of the server, with a prefix or "".
func (s *Server) Location(bucket, prefix string) tiering.Location {
	return tiering.Location{Scheme: tiering.SchemeS3, Bucket: bucket, Prefix: prefix, Endpoint: s.Endpoint, Region: "us-east-1", PathStyle: true}
}

// Config returns the server's credentials, and little patience.
func (s *Server) Config() s3.Config {
	config := s3.DefaultConfig()
	config.AccessKeyID, config.SecretAccessKey = AccessKey, SecretKey
	config.BaseDelay, config.MaxDelay = 5*time.Millisecond, 50*time.Millisecond
	return config
}

// Open makes a new bucket with that name and opens it as a store that closes with the test.
func (s *Server) Open(t testing.TB, bucket, prefix string) *s3.Store {
	t.Helper()
	if err := s.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	return open(t, s.Location(bucket, prefix), s.Config())
}

func open(t testing.TB, location tiering.Location, config s3.Config) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), location, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Pid is the server's process, for measurements of its CPU time.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Close ends the server. It is idempotent.
func (s *Server) Close() {
	s.stop.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		timer := time.NewTimer(stopTimeout)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
			_ = s.cmd.Process.Kill()
			<-s.done
		}
	})
}

// safeBuffer keeps the last output of the process, which writes while we read.
type safeBuffer struct {
	mu struct {
		sync.Mutex
		buf bytes.Buffer
	}
}

const maxLog = 64 << 10 // bytes

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.buf.Len()+len(p) > maxLog {
		b.mu.buf.Reset()
	}
	return b.mu.buf.Write(p)
}

// String returns what was printed, on one line.
func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(strings.Fields(b.mu.buf.String()), " ")
}
