package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestClients runs the official clients and prints the table. Each cell is a subtest.
func TestClients(t *testing.T) {
	runs, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	cache := cacheDir(t)
	prepareClients(t, cache, runs)

	id := make([]byte, 6)
	if _, err := rand.Read(id); err != nil {
		t.Fatal(err)
	}
	runID := hex.EncodeToString(id)
	dir := filepath.Join(cache, "run-"+runID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Registered before the broker's own cleanup, so it runs after the broker has ended.
	t.Cleanup(func() {
		if t.Failed() || os.Getenv("STRATA_KEEP") == "1" {
			t.Logf("data, output and client logs are in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})

	to := startTarget(t, runs, dir)
	to.runID = runID
	result := executeAll(t, runs, to, cache, dir)
	text := result.markdown()
	fmt.Print(text)
	if file := os.Getenv("STRATA_TABLE"); file != "" {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
	for _, r := range runs {
		for _, name := range r.cases {
			t.Run(r.String()+"/"+name, func(t *testing.T) {
				switch v := result.verdicts[r.String()][name]; v.state {
				case "PASS":
				case "SKIP":
					t.Skip(v.reason)
				default:
					t.Errorf("%s; logs in %s", v.reason, filepath.Join(dir, r.String()))
				}
			})
		}
	}
}

// cacheDir is where the prepare script installs the clients, and where the evidence of a failed run stays.
func cacheDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("STRATA_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "stratamq", "conformance")
}

// prepareClients installs what the runs need. The script names a toolchain that is missing.
func prepareClients(t *testing.T, cache string, runs []run) {
	t.Helper()
	var names []string
	for _, r := range runs {
		names = append(names, r.client.String()) // twice is harmless
	}
	cmd := exec.CommandContext(t.Context(), "./prepare", names...)
	cmd.Env = append(os.Environ(), "STRATA_CACHE="+cache)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("prepare: %v (its message is above)", err)
	}
}

// startTarget starts a broker, or takes the endpoint that runs already, and makes topics and groups.
func startTarget(t *testing.T, runs []run, dir string) target {
	t.Helper()
	to := target{pollSeconds: 5, serverPollSeconds: brokerPollSeconds, caFile: filepath.Join(dir, "ca.pem")}
	endpoint, binary := whereToTest(t)
	if endpoint != "" {
		to.endpoint, to.reference, to.serverPollSeconds = endpoint, true, 20
		if err := prepareReference(t.Context(), runs, dir); err != nil {
			t.Fatal(err)
		}
	} else {
		b := startBroker(t, binary, filepath.Join(dir, "broker"))
		to.endpoint = b.endpoint
		if err := b.prepare(t.Context(), runs); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range runs {
		if r.tls {
			if err := fetchCertificate(t.Context(), to.endpoint, to.caFile); err != nil {
				t.Fatalf("TLS at %s: %v", to.endpoint, err)
			}
			break
		}
	}
	return to
}

// executeAll runs the programs side by side. Nearly all of their time is waiting, so more of them than cores is
// right; STRATA_PARALLEL says how many.
func executeAll(t *testing.T, runs []run, to target, cache, dir string) table {
	t.Helper()
	parallel := 5
	if text := os.Getenv("STRATA_PARALLEL"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("STRATA_PARALLEL: %q is not a number above 0", text)
		}
		parallel = n
	}
	result := table{runs: runs, verdicts: map[string]map[string]verdict{}}
	var mu sync.Mutex // guards result.verdicts
	var all sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for _, r := range runs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			started := time.Now()
			verdicts, err := r.execute(t.Context(), to, cache, filepath.Join(dir, r.String()))
			if err != nil {
				t.Errorf("%s: %v", r, err)
			}
			t.Logf("%s took %s", r, time.Since(started).Round(100*time.Millisecond))
			mu.Lock()
			defer mu.Unlock()
			result.verdicts[r.String()] = verdicts
		})
	}
	all.Wait()
	return result
}
