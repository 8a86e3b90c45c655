package nats

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"github.com/stratamq/stratamq/meta"
)

// startTimeout bounds the start of the embedded server: reading back the state of its streams.
const startTimeout = 30 * time.Second

// OpenEmbedded starts a server on the folder and returns a store on it. The caller holds a lock of
// its own on the folder until the store is closed.
func OpenEmbedded(ctx context.Context, c EmbeddedConfig, log *slog.Logger) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	srv, err := server.NewServer(serverOptions(c))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	srv.SetLoggerV2(serverLog{log}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) || !srv.JetStreamEnabled() {
		shutdown(srv)
		return nil, fmt.Errorf("%w: embedded server did not start on %s", meta.ErrUnavailable, c.Dir)
	}
	conn, err := natsgo.Connect("", append(connOptions(log), natsgo.InProcessServer(srv))...)
	if err != nil {
		shutdown(srv)
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	s, err := newStore(ctx, conn, srv, layout{replicas: 1, maxBytes: -1}, c.RequestTimeout)
	if err != nil {
		conn.Close()
		shutdown(srv)
		return nil, err
	}
	return s, nil
}

// OpenRemote connects to servers outside and returns a store on them. It makes the buckets that a
// new cluster lacks.
func OpenRemote(ctx context.Context, c RemoteConfig, log *slog.Logger) (*Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	opts := natsgo.GetDefaultOptions()
	opts.Servers = c.URLs
	opts.User, opts.Password, opts.Token = c.User, c.Password, c.Token
	all := connOptions(log)
	if c.CredentialsFile != "" {
		all = append(all, natsgo.UserCredentials(c.CredentialsFile))
	}
	if c.CAFile != "" {
		all = append(all, natsgo.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		all = append(all, natsgo.ClientCert(c.CertFile, c.KeyFile))
	}
	for _, set := range all {
		if err := set(&opts); err != nil {
			return nil, fmt.Errorf("metadata: %w", err)
		}
	}
	conn, err := opts.Connect()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	s, err := newStore(ctx, conn, nil, layout{replicas: c.Replicas, maxBytes: c.BucketSize}, c.RequestTimeout)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func connOptions(log *slog.Logger) []natsgo.Option {
	return []natsgo.Option{
		natsgo.Name("strata-meta"),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(100 * time.Millisecond),
		// Without a connection a write fails at once. A buffer would send it at some later time, when
		// its caller has long given up.
		natsgo.ReconnectBufSize(-1),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			if err != nil {
				log.Warn("metadata connection lost", "err", err)
			}
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) { log.Info("metadata connection is back") }),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			log.Warn("metadata connection error", "err", err)
		}),
	}
}

func shutdown(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}
