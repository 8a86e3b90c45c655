package conformance

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	readyLimit = 30 * time.Second
	stopLimit  = 10 * time.Second
	// brokerPollSeconds is what the broker tells push consumers: three of the clients wait for it when they close.
	brokerPollSeconds = 5
)

// broker is one that the test started; a broker that runs already is an endpoint only.
type broker struct {
	binary   string
	endpoint string // gRPC
	admin    string // HTTP
}

// whereToTest returns the endpoint of a broker that runs already, or the binary of one to start: STRATA_BIN, or what
// `make build` leaves in the repository.
func whereToTest(t *testing.T) (endpoint, binary string) {
	t.Helper()
	if endpoint = os.Getenv("STRATA_ENDPOINT"); endpoint != "" {
		return endpoint, ""
	}
	name := os.Getenv("STRATA_BIN")
	if name == "" {
		name = filepath.Join("..", "bin", "strata")
	}
	binary, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("no broker to test: %v (STRATA_BIN names a binary, STRATA_ENDPOINT a running broker)", err)
	}
	return "", binary
}

// startBroker starts `strata server` on free ports and waits until it is ready. It is stopped at the end of the test,
// which fails if the broker does not end in time with status 0.
func startBroker(t *testing.T, binary, dir string) broker {
	t.Helper()
	b := broker{binary: binary, endpoint: freeAddress(t), admin: freeAddress(t)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The broker outlives the test's context by the time that its SIGTERM takes.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "server", "--data-dir", filepath.Join(dir, "data"), "--grpc-addr", b.endpoint,
		"--http-addr", b.admin, "--long-polling-timeout", fmt.Sprintf("%ds", brokerPollSeconds))
	cmd.Env = brokerEnvironment()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("broker: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		defer closeFile(t, log)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("the broker was gone before the end: %v; see %s", err, log.Name())
			return
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the broker ended with %s; see %s", status(err), log.Name())
			}
		case <-time.After(stopLimit):
			t.Errorf("the broker did not end within %s of SIGTERM; see %s", stopLimit, log.Name())
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err == nil {
				t.Error("the broker ended with status 0 when it was killed")
			}
		}
	})
	if err := b.waitReady(t.Context(), ended); err != nil {
		t.Fatalf("broker: %v; see %s", err, log.Name())
	}
	return b
}

func closeFile(t *testing.T, f *os.File) {
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// waitReady asks /readyz until it answers 200. A broker that ended puts its error back for the cleanup to read.
func (b broker) waitReady(ctx context.Context, ended chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := b.ready(ctx)
		if last == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("ended while it started, with %s", status(err))
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", readyLimit, last)
		case <-tick.C:
		}
	}
}

func (b broker) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", res.Status)
	}
	return nil
}

// prepare makes the topics of the runs and the groups that need settings; all other groups come into being when a
// client uses them, which is part of what is tested.
func (b broker) prepare(ctx context.Context, runs []run) error {
	for _, r := range runs {
		for _, name := range r.cases {
			if err := b.strata(ctx, "topic", "create", r.topic(name), "--queues", "4"); err != nil {
				return err
			}
		}
		if err := b.strata(ctx, "group", "create", r.deadLetterGroup(), "--max-attempts", "2"); err != nil {
			return err
		}
	}
	return nil
}

// brokerEnvironment is ours without the variables of this suite, which the broker would refuse as unknown settings.
func brokerEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STRATA_") })
}

func (b broker) strata(ctx context.Context, args ...string) error {
	args = append(args, "--server", b.admin)
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Env = brokerEnvironment()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("strata %v: %w: %s", args, err, out)
	}
	return nil
}

// freeAddress returns a port of 127.0.0.1 that was free a moment ago; the broker is told addresses, not "any".
func freeAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// fetchCertificate writes the certificate that the endpoint shows to file: some clients trust only a root that they
// are given, and a self-signed certificate is its own.
func fetchCertificate(ctx context.Context, endpoint, file string) (err error) {
	dialer := tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the certificate is what we are here to learn
		NextProtos:         []string{"h2"},
	}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	state := conn.(*tls.Conn).ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return fmt.Errorf("ALPN chose %q, want h2", state.NegotiatedProtocol)
	}
	var chain []byte
	for _, c := range state.PeerCertificates {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return os.WriteFile(file, chain, 0o600)
}
