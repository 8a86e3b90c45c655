package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestLoad reads, for each case, a configuration file, variables ("env NAME=value") and flags
// ("flag name=value"), and prints the settings that are not the default, or what is wrong.
func TestLoad(t *testing.T) {
	datadriven.Walk(t, "testdata/load", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			t.Chdir(t.TempDir())
			from := Sources{Flags: make(map[string]string)}
			var file []string
			for line := range strings.SplitSeq(d.Input, "\n") {
				switch kind, rest, _ := strings.Cut(line, " "); kind {
				case "env":
					from.Env = append(from.Env, rest)
				case "flag":
					name, value, _ := strings.Cut(rest, "=")
					from.Flags[name] = value
				case "":
				case "|":
					file = append(file, rest)
				default:
					t.Fatalf("%s: line %q is neither env, flag nor |", d.Pos, line)
				}
			}
			if file != nil {
				from.File = "strata.yaml"
				if err := os.WriteFile(from.File, []byte(strings.Join(file, "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			effective, err := Load(from)
			if err != nil {
				if !errors.Is(err, ErrInvalid) {
					t.Errorf("%v is no ErrInvalid", err)
				}
				return err.Error() + "\n"
			}
			wd, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, s := range Settings() {
				if effective.Origin(s) != "default" || d.HasArg("all") {
					fmt.Fprintf(&b, "%s: %s  (%s)\n", s.Key(), strings.ReplaceAll(effective.Value(s), wd, "(wd)"), effective.Origin(s))
				}
			}
			return b.String()
		})
	})
}

func TestMissingFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no.yaml")
	_, err := Load(Sources{File: missing})
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"segmentsize", "segment_size"}, {"grpc_adr", "grpc_addr"}, {"", "pprof"}, {"data", "data_dir"},
	} {
		var names []string
		for _, s := range Settings() {
			names = append(names, s.Key())
		}
		if got := Nearest(c.text, names); got != c.want {
			t.Errorf("nearest to %q: %q, want %q", c.text, got, c.want)
		}
	}
}
