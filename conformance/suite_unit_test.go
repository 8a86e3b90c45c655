package conformance

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseLine(t *testing.T) {
	for line, want := range map[string]struct {
		name string
		v    verdict
		ok   bool
	}{
		"PASS send-sync":               {"send-sync", verdict{"PASS", ""}, true},
		"FAIL send-sync: why: because": {"send-sync", verdict{"FAIL", "why: because"}, true},
		"SKIP push-retry: no push":     {"push-retry", verdict{"SKIP", "no push"}, true},
		"FAIL send-sync":               {},
		"SKIP send-sync: ":             {},
		"PASS":                         {},
		"PASS a b":                     {},
		"INFO something: else":         {},
	} {
		name, v, ok := parseLine(line)
		if name != want.name || v != want.v || ok != want.ok {
			t.Errorf("parseLine(%q) = %q, %v, %v; want %v", line, name, v, ok, want)
		}
	}
}

// TestJudge: whatever a program leaves out or glosses over becomes a failure.
func TestJudge(t *testing.T) {
	pass := verdict{"PASS", ""}
	ended := errors.New("signal: killed")
	tests := []struct {
		name   string
		client client
		got    map[string]verdict
		exit   error
		ending time.Duration
		want   string // of the last case
	}{
		{"all is well", client{language: "go"}, map[string]verdict{"send-sync": pass, "push-retry": pass}, nil, 0, "PASS"},
		{"missing line", client{language: "go"}, map[string]verdict{"send-sync": pass}, ended, 0, "FAIL"},
		{"unknown skip", client{language: "go"}, map[string]verdict{"send-sync": pass, "push-retry": {"SKIP", "no"}}, nil, 0, "FAIL"},
		{"known skip", client{language: "rust"}, map[string]verdict{"send-sync": pass, "push-retry": {"SKIP", "no"}}, nil, 0, "SKIP"},
		{"bad status", client{language: "go"}, map[string]verdict{"send-sync": pass, "push-retry": pass}, ended, 0, "FAIL"},
		{"does not end", client{language: "go"}, map[string]verdict{"send-sync": pass, "push-retry": pass}, nil, exitLimit + time.Second, "FAIL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run{client: tt.client, cases: []string{"send-sync", "push-retry"}}
			r.judge(tt.got, tt.exit, tt.ending)
			if v := tt.got["push-retry"]; v.state != tt.want {
				t.Errorf("%v, want %s", v, tt.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	c := client{language: "rust", version: "1"}
	plain := run{client: c, cases: []string{"send-sync", "push-retry"}}
	secure := run{client: c, tls: true, cases: []string{"send-sync"}}
	text := table{runs: []run{plain, secure}, verdicts: map[string]map[string]verdict{
		plain.String():  {"send-sync": {"PASS", ""}, "push-retry": {"SKIP", "no push"}},
		secure.String(): {"send-sync": {"FAIL", "broken"}},
	}}.markdown()
	for _, want := range []string{
		"| plaintext | rust 1 |", "| send-sync | pass |", "| push-retry | skip [1] |",
		"| TLS | rust 1 |", "| send-sync | fail [2] |", "[1] SKIP: no push", "[2] rust-1-tls send-sync: FAIL: broken",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func TestChoose(t *testing.T) {
	known := []string{"a", "b", "c"}
	for list, want := range map[string]string{"": "b", "all": "a b c", "none": "", "c,a": "a c"} {
		got, err := choose(list, []string{"b"}, known)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("choose(%q) = %v, %v; want %s", list, got, err, want)
		}
	}
	if _, err := choose("d", nil, known); err == nil {
		t.Error("an unknown word was taken")
	}
}
