package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stratamq/stratamq/cmd/strata/internal/cli"
)

// startLimit is how long a server may take to become ready, on a machine that is busy with other tests.
const startLimit = 20 * time.Second

func TestMain(m *testing.M) {
	os.Exit(testscript.RunMain(m, map[string]func() int{
		"strata": func() int { return cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr) },
	}))
}

// TestScripts runs the command line as a person does, against a server where a script starts one:
//
//	exec strata server --data-dir data --grpc-addr $GRPC --http-addr $HTTP &server&
//	ready
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			grpc, err := freeAddress(context.Background())
			if err != nil {
				return err
			}
			http, err := freeAddress(context.Background())
			if err != nil {
				return err
			}
			e.Setenv("GRPC", grpc)
			e.Setenv("HTTP", http)
			e.Setenv("STRATA_SERVER", http)
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) > 0 {
					ts.Fatalf("usage: ready")
				}
				ts.Check(waitReady(context.Background(), ts.Getenv("HTTP")))
			},
		},
	})
}

// freeAddress returns an address of loopback that nobody listens on at the moment.
func freeAddress(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitReady asks /readyz until it answers 200.
func waitReady(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := getOK(ctx, "http://"+addr+"/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after %s: %w", startLimit, err)
		case <-tick.C:
		}
	}
}

func getOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}
