package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cases are the rows of the table, in the order in which the programs run them.
var cases = []string{
	"send-sync",
	"send-async",
	"largest-body",
	"simple-receive-ack",
	"simple-change-invisible",
	"simple-expiry-redelivery",
	"push-success",
	"push-retry",
	"push-dead-letter",
	"filter-tag",
	"unknown-topic",
	"empty-poll",
	"shutdown",
}

// idleCase leaves the clients alone for STRATA_IDLE_SECONDS; it runs only if STRATA_CASES names it.
const idleCase = "idle"

// tlsCases are run over TLS too unless STRATA_TLS_CASES says otherwise ("all", or a list). The others differ from the
// plaintext run in nothing but the connection, which these show to work.
var tlsCases = []string{"send-sync", "largest-body", "simple-receive-ack", "push-success", "push-retry", "unknown-topic", "shutdown"}

// client is one official client in one version: a pair of columns, plaintext and TLS.
type client struct {
	language string
	version  string
	older    bool // only part of a run that asks for all
}

var clients = []client{
	{language: "go", version: "5.1.4"},
	{language: "java", version: "5.2.0"},
	{language: "python", version: "5.1.2"},
	{language: "node", version: "1.0.8"},
	{language: "rust", version: "5.0.0"},
	{language: "go", version: "5.1.3", older: true},
	{language: "java", version: "5.0.7", older: true},
}

func (c client) String() string { return c.language + "-" + c.version }

// command returns the program's command line. It runs in the folder home, which is its HOME.
func (c client) command(cache, home string) []string {
	dir := filepath.Join(cache, c.String())
	switch c.language {
	case "java":
		// The JVM takes its home from the password file, not from HOME.
		return []string{
			"java", "-Duser.home=" + home, "-Dfile.encoding=UTF-8", "-Xmx256m",
			"-cp", filepath.Join(dir, "lib", "*"), source("java", "Client.java"),
		}
	case "python":
		return []string{filepath.Join(dir, "venv", "bin", "python"), source("python", "client.py")}
	case "node":
		return []string{"node", source("node", "client.js")}
	default:
		return []string{filepath.Join(dir, "client")}
	}
}

// environment returns what this client needs beyond the contract of all programs.
func (c client) environment(cache string) []string {
	if c.language == "node" {
		return []string{"STRATA_NODE_MODULES=" + filepath.Join(cache, c.String(), "node_modules")}
	}
	return nil
}

func source(parts ...string) string {
	wd, err := os.Getwd() // go test runs in the package's folder
	if err != nil {
		panic(err)
	}
	return filepath.Join(append([]string{wd, "clients"}, parts...)...)
}

// maySkip says whether the client is known not to be able to do a case. The program gives the reason; a skip that is
// not in this list is a failure.
func (c client) maySkip(name string, tls bool) bool {
	if c.language != "rust" {
		return false
	}
	return tls || name == "simple-change-invisible" || strings.HasPrefix(name, "push-")
}

// run is one process: a client with TLS on or off, and the cases it is asked for.
type run struct {
	client client
	tls    bool
	cases  []string
}

func (r run) String() string {
	if r.tls {
		return r.client.String() + "-tls"
	}
	return r.client.String() + "-plain"
}

// prefix is what the topics and groups of the run begin with. RocketMQ's names have no dots.
func (r run) prefix() string { return "conformance-" + strings.ReplaceAll(r.String(), ".", "_") }

func (r run) topic(name string) string { return r.prefix() + "-" + name }

// deadLetterGroup is the group that gives up after two attempts.
func (r run) deadLetterGroup() string { return r.topic("push-dead-letter") }

// plan reads from the environment which runs are wanted: STRATA_CLIENTS (default: the current versions, or
// all of them with STRATA_CONFORMANCE_ALL=1), STRATA_CASES (default: all but idle), STRATA_TLS_CASES (default: tlsCases; "all", "none").
func plan() ([]run, error) {
	known := append(slices.Clone(cases), idleCase)
	if os.Getenv("STRATA_CASES") == "all" {
		known = cases
	}
	wantedCases, err := choose(os.Getenv("STRATA_CASES"), cases, known)
	if err != nil {
		return nil, fmt.Errorf("STRATA_CASES: %w", err)
	}
	secure, err := choose(os.Getenv("STRATA_TLS_CASES"), tlsCases, cases)
	if err != nil {
		return nil, fmt.Errorf("STRATA_TLS_CASES: %w", err)
	}
	secure = slices.DeleteFunc(secure, func(name string) bool { return !slices.Contains(wantedCases, name) })

	var current, every []string
	for _, c := range clients {
		every = append(every, c.String())
		if !c.older {
			current = append(current, c.String())
		}
	}
	if os.Getenv("STRATA_CONFORMANCE_ALL") == "1" {
		current = every
	}
	wanted, err := choose(os.Getenv("STRATA_CLIENTS"), current, every)
	if err != nil {
		return nil, fmt.Errorf("STRATA_CLIENTS: %w", err)
	}

	var plain, overTLS []run
	for _, c := range clients {
		if !slices.Contains(wanted, c.String()) {
			continue
		}
		if len(wantedCases) > 0 {
			plain = append(plain, run{client: c, cases: wantedCases})
		}
		if len(secure) > 0 {
			overTLS = append(overTLS, run{client: c, tls: true, cases: secure})
		}
	}
	return append(plain, overTLS...), nil
}

// choose reads a comma-separated list of known words. Nothing means the default, "all" all, "none" none; the order
// is that of known.
func choose(list string, fallback, known []string) ([]string, error) {
	switch list {
	case "":
		return slices.Clone(fallback), nil
	case "all":
		return slices.Clone(known), nil
	case "none":
		return nil, nil
	}
	words := strings.Split(list, ",")
	for _, w := range words {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("%q is unknown (known: %s)", w, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(known), func(k string) bool { return !slices.Contains(words, k) }), nil
}
