package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/stratamq/stratamq/internal/failpoint"
)

// startTimeout bounds the time from exec to readiness, pollPause the pause between looks.
const (
	startTimeout = 30 * time.Second
	pollPause    = 2 * time.Millisecond
)

// maxOutput bounds how much of a process's output is kept, its end.
const maxOutput = 64 << 10

// ErrDied says that the process ended before it was ready.
var ErrDied = errors.New("the broker ended before it was ready")

// Options say what to start.
type Options struct {
	Binary     string
	DataDir    string
	Flags      []string // beside the data folder and the addresses
	Failpoints string   // what to arm
	Hits       string   // file that failpoints are counted in; empty: not counted
}

// Broker is a running process.
type Broker struct {
	GRPC string        // address
	HTTP string        // address
	Took time.Duration // from exec to readiness

	cmd    *exec.Cmd
	output *tail
	done   chan struct{} // closed when the process has ended
	admin  *Admin
}

var (
	grpcLine = regexp.MustCompile(`(?m)^  gRPC +(\S+)`)
	httpLine = regexp.MustCompile(`(?m)^  HTTP +http://([^/ \n]+)`)
)

// Start starts a broker and waits until it is ready. If it ends before, the error is an [ErrDied], and the
// Broker, which is then not nil, knows how.
func Start(ctx context.Context, o Options) (*Broker, error) {
	args := append([]string{"server", "--data-dir", o.DataDir, "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"}, o.Flags...)
	b := &Broker{output: new(tail), done: make(chan struct{})}
	b.cmd = exec.Command(o.Binary, args...) //nolint:noctx // its end is ours to choose, also after ctx
	b.cmd.Env = append(os.Environ(), failpoint.EnvPoints+"="+o.Failpoints, failpoint.EnvHits+"="+o.Hits)
	b.cmd.Stdout, b.cmd.Stderr = b.output, b.output
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", o.Binary, err)
	}
	go func() {
		_ = b.cmd.Wait() // how it ended stands in ProcessState
		close(b.done)
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !b.ready(ctx) {
		select {
		case <-b.done:
			return b, fmt.Errorf("%w: %s\n%s", ErrDied, b.cmd.ProcessState, b.Output())
		case <-ctx.Done():
			b.Kill()
			return b, fmt.Errorf("not ready: %w\n%s", context.Cause(ctx), b.Output())
		case <-time.After(pollPause):
		}
	}
	b.Took = time.Since(began)
	b.admin = newAdmin(b.HTTP)
	return b, nil
}

// ready looks for the addresses in the banner and asks for readiness.
func (b *Broker) ready(ctx context.Context) bool {
	if b.HTTP == "" {
		out := b.output.bytes()
		grpc, web := grpcLine.FindSubmatch(out), httpLine.FindSubmatch(out)
		if grpc == nil || web == nil {
			return false
		}
		b.GRPC, b.HTTP = string(grpc[1]), string(web[1])
	}
	code, _, err := b.Get(ctx, "/readyz")
	return err == nil && code == http.StatusOK
}

// Get asks the HTTP side and returns code and body.
func (b *Broker) Get(ctx context.Context, path string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.HTTP+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }() // it has been read
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer.StatusCode, string(body), err
}

// Admin returns the admin API of a broker that is ready.
func (b *Broker) Admin() *Admin { return b.admin }

// Kill ends the process by SIGKILL and waits until it is gone.
func (b *Broker) Kill() {
	_ = b.cmd.Process.Signal(syscall.SIGKILL) // it may be gone already
	<-b.done
}

// Stop ends the process by SIGTERM and waits until it is gone.
func (b *Broker) Stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	<-b.done
}

// Dump ends a process that should have done something else, and returns the end of what it printed, where
// its goroutines were included.
func (b *Broker) Dump() string {
	_ = b.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-b.done:
	case <-time.After(5 * time.Second):
		b.Kill()
	}
	return b.cmd.ProcessState.String() + "\n" + b.Output()
}

// Done is closed when the process has ended.
func (b *Broker) Done() <-chan struct{} { return b.done }

// ExitCode returns the code of a process that has ended, -1 if a signal ended it.
func (b *Broker) ExitCode() int { return b.cmd.ProcessState.ExitCode() }

// Killed reports whether the process was ended by SIGKILL.
func (b *Broker) Killed() bool {
	status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Output returns the end of what the process printed.
func (b *Broker) Output() string { return string(b.output.bytes()) }

// tail keeps the end of what is written to it, and the beginning, where the banner is.
type tail struct {
	mu struct {
		sync.Mutex
		buf bytes.Buffer
	}
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.buf.Write(p)
	if over := t.mu.buf.Len() - 2*maxOutput; over > 0 {
		rest := bytes.Clone(t.mu.buf.Bytes()[t.mu.buf.Len()-maxOutput:])
		t.mu.buf.Reset()
		t.mu.buf.Write(rest)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.mu.buf.Bytes())
}
