package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

// broker is a running strata server.
type broker struct {
	*process
	addr  string // gRPC, host:port
	http  string // URL
	dir   string // of its data
	admin adminv1connect.AdminServiceClient
}

// launch starts the broker with its data in a folder of that name, and does not wait for it. Environment variables
// may carry credentials.
func (b *bench) launch(ctx context.Context, name string, env []string, flags ...string) (*broker, error) {
	grpcAddr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	httpAddr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.scratch, name)
	argv := append([]string{b.settings.strata, "server", "--data-dir", dir, "--grpc-addr", grpcAddr, "--http-addr", httpAddr}, flags...)
	if b.settings.profile != "" {
		argv = append(argv, "--pprof")
	}
	p, err := startProcess(ctx, "strata server ("+name+")", env, argv...)
	if err != nil {
		return nil, err
	}
	url := "http://" + httpAddr
	return &broker{process: p, addr: grpcAddr, http: url, dir: dir, admin: adminv1connect.NewAdminServiceClient(http.DefaultClient, url)}, nil
}

// startBroker starts the broker and waits until it is ready.
func (b *bench) startBroker(ctx context.Context, name string, env []string, flags ...string) (*broker, error) {
	s, err := b.launch(ctx, name, env, flags...)
	if err != nil {
		return nil, err
	}
	if err := s.waitReady(ctx); err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

// waitReady waits until /readyz says so.
func (s *broker) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	for {
		ready, err := s.ready(ctx)
		if ready {
			return nil
		}
		if err := s.ended(); err != nil {
			return err
		}
		if pause(ctx, 5*time.Millisecond) != nil {
			return fmt.Errorf("%s is not ready (%w): %s", s.name, err, s.log)
		}
	}
}

func (s *broker) ready(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+"/readyz", http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close() //nolint:errcheck // errcheck: the status is all that is wanted
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("/readyz: %s", resp.Status)
	}
	return true, nil
}

// remove ends the broker and deletes its data.
func (s *broker) remove() {
	s.stop()
	_ = os.RemoveAll(s.dir) // what stays is in the run's folder, which is removed as well
}

func (s *broker) createTopic(ctx context.Context, name string, queues int, ack adminv1.AckMode) error {
	_, err := s.admin.CreateTopic(ctx, &adminv1.CreateTopicRequest{Topic: &adminv1.Topic{
		Name: name, Queues: uint32(queues), MessageType: adminv1.MessageType_MESSAGE_TYPE_NORMAL, AckMode: ack,
	}})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}
