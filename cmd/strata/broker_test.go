package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

const testTopic = "orders"

// broker is a server in a process of its own.
type broker struct {
	t          *testing.T
	dir        string // data folder
	grpc, http string // addresses
	cmd        *exec.Cmd
	log        *lockedBuffer
	ended      chan struct{} // closed when the process has ended
	exit       int           // its code; read after ended
}

// lockedBuffer is a buffer that a process writes to while a test reads it.
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.String()
}

// launch starts a server on a data folder and free ports, with more flags, and does not wait for anything.
// The process is killed at the end of the test if it is still there.
func launch(t *testing.T, dir string, flags ...string) *broker {
	t.Helper()
	b := &broker{t: t, dir: dir, log: new(lockedBuffer), ended: make(chan struct{})}
	var err error
	if b.grpc, err = freeAddress(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.http, err = freeAddress(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"server", "--data-dir", dir, "--grpc-addr", b.grpc, "--http-addr", b.http, "--disk-mark", "0"}, flags...)
	b.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), "strata", args...)
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.ended)
		if err := b.cmd.Wait(); err != nil {
			b.exit = b.cmd.ProcessState.ExitCode()
		}
	}()
	t.Cleanup(func() {
		select {
		case <-b.ended:
		default:
			if err := b.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			<-b.ended
		}
		if t.Failed() {
			t.Logf("server on %s:\n%s", dir, b.log)
		}
	})
	return b
}

// start launches a server and waits until it is ready.
func start(t *testing.T, dir string, flags ...string) *broker {
	t.Helper()
	b := launch(t, dir, flags...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-b.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := waitReady(ctx, b.http); err != nil {
		t.Fatal(err)
	}
	return b
}

// stop sends SIGTERM and waits; it returns the exit code and how long it took.
func (b *broker) stop() (exit int, took time.Duration) {
	b.t.Helper()
	began := time.Now()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	return b.wait(), time.Since(began)
}

// wait returns the exit code once the process has ended.
func (b *broker) wait() int {
	b.t.Helper()
	select {
	case <-b.ended:
		return b.exit
	case <-time.After(startLimit):
		b.t.Fatalf("the server did not end within %s", startLimit)
		return 0
	}
}

// metric returns the value of a metric without labels as /metrics prints it, "" without one.
func (b *broker) metric(name string) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "http://"+b.http+"/metrics", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		b.t.Fatal(err)
	}
	for line := range bytes.Lines(body) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// waitMetric waits until a metric has a value.
func (b *broker) waitMetric(name, want string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startLimit); b.metric(name) != want; <-tick.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s is %s, not %s, after %s", name, b.metric(name), want, startLimit)
		}
	}
}

// strata runs a command against the broker and returns what it printed.
func (b *broker) strata(args ...string) string {
	b.t.Helper()
	out, err := exec.CommandContext(b.t.Context(), "strata", append(args, "--server", b.http)...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("strata %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// dial returns a client of the protocol in plaintext.
func (b *broker) dial() pb.MessagingServiceClient {
	b.t.Helper()
	conn, err := grpc.NewClient(b.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return pb.NewMessagingServiceClient(conn)
}

// as is the context of a call by a client.
func as(ctx context.Context, client string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-mq-client-id", client, "x-mq-language", "GO")
}

func sendRequest(id string, body []byte) *pb.SendMessageRequest {
	return &pb.SendMessageRequest{Messages: []*pb.Message{{
		Topic:            &pb.Resource{Name: testTopic},
		SystemProperties: &pb.SystemProperties{MessageId: id, BodyEncoding: pb.Encoding_IDENTITY, MessageType: pb.MessageType_NORMAL},
		Body:             body,
	}}}
}

// send sends one message and returns its code; an error of the transport is returned as it is.
func send(ctx context.Context, client pb.MessagingServiceClient, id string, body []byte) (*pb.Status, error) {
	res, err := client.SendMessage(as(ctx, "producer"), sendRequest(id, body))
	if err != nil {
		return nil, err
	}
	return res.GetStatus(), nil
}

// receive asks for messages, waiting at most poll, and returns the status and what came.
func receive(ctx context.Context, client pb.MessagingServiceClient, group string, poll time.Duration) (*pb.Status, []*pb.Message, error) {
	stream, err := client.ReceiveMessage(as(ctx, "consumer-"+group), &pb.ReceiveMessageRequest{
		Group:              &pb.Resource{Name: group},
		MessageQueue:       &pb.MessageQueue{Topic: &pb.Resource{Name: testTopic}},
		BatchSize:          32,
		InvisibleDuration:  durationpb.New(30 * time.Second),
		LongPollingTimeout: durationpb.New(poll),
	})
	if err != nil {
		return nil, nil, err
	}
	var status *pb.Status
	var messages []*pb.Message
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return status, messages, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if s := frame.GetStatus(); s != nil {
			status = s
		}
		if m := frame.GetMessage(); m != nil {
			messages = append(messages, m)
		}
	}
}

// messageCount returns how many messages the topic has.
func (b *broker) messageCount() int {
	b.t.Helper()
	total := 0
	for line := range strings.SplitSeq(b.strata("topic", "describe", testTopic), "\n") {
		var queue, shard, first, next int
		if n, err := fmt.Sscan(line, &queue, &shard, &first, &next); err == nil && n == 4 {
			total += next - first
		}
	}
	return total
}

func dataDir(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }

// waitFor waits until something has come true.
func (b *broker) waitFor(what string, is func() bool) {
	b.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * startLimit); !is(); <-tick.C {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited %s in vain for %s", 2*startLimit, what)
		}
	}
}
