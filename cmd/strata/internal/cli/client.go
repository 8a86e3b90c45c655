package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

const (
	serverEnv     = "STRATA_SERVER"
	defaultServer = "127.0.0.1:8090"

	dialTimeout = 5 * time.Second
	// maxAnswerBytes bounds one answer, or one message of a stream: a batch of 32 messages stays below 4 MiB
	// and one larger message is alone, so this leaves room for what JSON and properties add.
	maxAnswerBytes = 64 << 20
)

// clientFlags adds what every command that talks to a server takes.
func (e *env) clientFlags(c *cobra.Command) {
	c.PersistentFlags().StringVar(&e.server, "server", "", "`ADDR` of the admin API (default STRATA_SERVER, else "+defaultServer+")")
	c.PersistentFlags().StringVarP(&e.output, "output", "o", outputTable, "`FORMAT`: table or json")
}

// client returns a client of the admin API.
func (e *env) client() (adminv1connect.AdminServiceClient, error) {
	if err := e.checkOutput(); err != nil {
		return nil, err
	}
	url := cmp.Or(e.server, os.Getenv(serverEnv), defaultServer)
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols:       protocols,
		DialContext:     (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	return adminv1connect.NewAdminServiceClient(&http.Client{Transport: transport}, strings.TrimSuffix(url, "/"),
		connect.WithReadMaxBytes(maxAnswerBytes)), nil
}

// call runs one call of the admin API for a command.
func call[T any](e *env, ctx context.Context, run func(context.Context, adminv1connect.AdminServiceClient) (T, error)) (T, error) { //nolint:revive // what may be inferred comes last, and the environment is what this is a method of
	client, err := e.client()
	if err != nil {
		var zero T
		return zero, err
	}
	return run(ctx, client)
}
