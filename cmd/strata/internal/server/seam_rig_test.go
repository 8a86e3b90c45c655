package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// rigLimit bounds every wait for a server in this process, on a machine that is busy with other tests.
const rigLimit = 60 * time.Second

// rig is a whole broker in this process, spoken to over its ports, whose tiers a test can look at.
type rig struct {
	*Server

	t      *testing.T
	config config.Config
	client pb.MessagingServiceClient
	tool   adminv1connect.AdminServiceClient
	log    *rigLog
	stop   func() // idempotent; waits for the end
}

// rigConfig is a broker with the smallest segments, which leave the disk so long after their seal.
func rigConfig(dir, objects string, local time.Duration) config.Config {
	c := config.Default()
	c.DataDir, c.ObjectStore = filepath.Join(dir, "data"), objects
	c.GRPCAddr, c.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	c.SegmentSize, c.LocalRetention, c.DiskMark = 1<<20, config.Retention{Age: local}, 0
	return c
}

// openRig opens and runs a broker, which the test stops.
func openRig(t *testing.T, c config.Config) *rig {
	t.Helper()
	r := &rig{t: t, config: c, log: &rigLog{}}
	s, err := Open(t.Context(), c, "test", slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	conn, err := grpc.NewClient(s.grpcAt.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	r.client = pb.NewMessagingServiceClient(conn)
	r.tool = adminv1connect.NewAdminServiceClient(&http.Client{Transport: transport}, "http://"+s.httpAt.Addr().String(), connect.WithReadMaxBytes(64<<20))
	r.stop = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Logf("the broker's log:\n%s", r.log)
		}
	})
	t.Cleanup(r.stop)
	r.waitFor("readiness", func() bool {
		for _, p := range s.health.Parts() {
			if p.Reason != "" {
				return false
			}
		}
		return true
	})
	return r
}

// waitFor waits until something has come true that tells nobody when it does.
func (r *rig) waitFor(what string, is func() bool) {
	r.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(rigLimit); !is(); <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited %s in vain for %s", rigLimit, what)
		}
	}
}

// createTopic makes a topic and waits until it is served.
func (r *rig) createTopic(name string, queues uint32) {
	r.t.Helper()
	if _, err := r.tool.CreateTopic(r.t.Context(), &adminv1.CreateTopicRequest{Topic: &adminv1.Topic{Name: name, Queues: queues}}); err != nil {
		r.t.Fatal(err)
	}
}

// queueOf returns a queue's id from the catalog.
func (r *rig) queueOf(topic string, queue int) message.Queue {
	t, err := r.catalog.TopicByName(r.t.Context(), topic)
	if err != nil {
		r.t.Fatal(err)
	}
	return message.Queue{Topic: t.ID, ID: message.QueueID(queue)}
}

// as is the context of a call by a client.
func as(ctx context.Context, client string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-mq-client-id", client, "x-mq-language", "GO")
}

// tier says where the bytes of a message are.
type tier int

const (
	tierHot    tier = iota // in the segment that takes the frames
	tierLocal              // in a full segment that is still on the disk
	tierBucket             // in the bucket only
	tiers
)

// seams are the positions at which a tier ends: below local is the bucket, from active on the log.
type seams struct{ local, active message.Position }

func (r *rig) seams() seams {
	segments := r.shard.Segments()
	return seams{local: segments[0].Base, active: segments[len(segments)-1].Base}
}

func (s seams) tierOf(at message.Position) tier {
	switch {
	case at >= s.active:
		return tierHot
	case at >= s.local:
		return tierLocal
	default:
		return tierBucket
	}
}

// s3Bucket starts an S3 server and returns its bucket, whose credentials are in the environment.
func s3Bucket(t *testing.T) (*s3server.Server, tiering.Location) {
	t.Helper()
	s := s3server.New(t)
	if err := s.CreateBucket("seam"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretKey)
	return s, s.Location("seam", "")
}

// rigLog keeps what a broker logs.
type rigLog struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

func (l *rigLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.Write(p)
}

func (l *rigLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.String()
}
