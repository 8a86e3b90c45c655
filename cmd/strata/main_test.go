package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
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
			"http":    httpCommand,
			"waitfor": waitForCommand,
			"dumpkey": dumpKeyCommand,
			"flip":    flipCommand,
		},
	})
}

// httpCommand makes a request and wants a status; stdout is the body of the answer. With JSON it is a POST.
//
//	http STATUS PATH [JSON] [host=NAME]
func httpCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: http STATUS PATH [JSON] [host=NAME]")
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+ts.Getenv("HTTP")+args[1], nil)
	ts.Check(err)
	for _, arg := range args[2:] {
		if host, ok := strings.CutPrefix(arg, "host="); ok {
			req.Host = host
			continue
		}
		req.Method, req.Body = http.MethodPost, io.NopCloser(strings.NewReader(arg))
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	body, err := io.ReadAll(res.Body)
	ts.Check(errors.Join(err, res.Body.Close()))
	if got := strconv.Itoa(res.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s: %s", got, args[0], body)
	}
	_, err = ts.Stdout().Write(body)
	ts.Check(err)
}

// waitForCommand repeats a command until it prints a text.
//
//	waitfor TEXT COMMAND...
func waitForCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: waitfor TEXT COMMAND...")
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startLimit); ; <-tick.C {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited %s in vain for %q", startLimit, args[0])
		}
	}
}

// dumpKeyCommand puts the first object key of what was printed as JSON into the variable KEY.
func dumpKeyCommand(ts *testscript.TestScript, neg bool, args []string) {
	key := regexp.MustCompile(`"key": "([^"]+)"`).FindStringSubmatch(ts.ReadFile("stdout"))
	if neg || len(args) > 0 || key == nil {
		ts.Fatalf("usage: dumpkey, behind a command that prints an object key")
	}
	ts.Setenv("KEY", key[1])
}

// flipCommand changes one bit in the first block of a file.
func flipCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	name := ts.MkAbs(args[0])
	raw, err := os.ReadFile(name)
	ts.Check(err)
	raw[len(raw)/4] ^= 1
	ts.Check(os.Chmod(name, 0o600))
	ts.Check(os.WriteFile(name, raw, 0o600))
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
