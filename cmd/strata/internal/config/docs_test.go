package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	manual        = "../../../../docs/configuration.md"
	settingsBegin = "<!-- settings:begin, written by go test ./cmd/strata/internal/config -rewrite -->\n"
	settingsEnd   = "<!-- settings:end -->"
)

// The manual's table is what the program has.
func TestManual(t *testing.T) {
	raw, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(raw), settingsBegin)
	got, after, closed := strings.Cut(rest, settingsEnd)
	if !found || !closed {
		t.Fatal("the table's marks are missing")
	}
	var want strings.Builder
	want.WriteString("| flag | key | variable | default | what |\n|---|---|---|---|---|\n")
	for _, s := range Settings() {
		value := s.Default()
		if !strings.Contains(value, " ") && value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&want, "| `--%s` | `%s` | `%s` | %s | %s |\n", s.Name, s.Key(), s.Env(), value, s.Usage)
	}
	if got == want.String() {
		return
	}
	if flag.Lookup("rewrite").Value.String() != "true" {
		t.Errorf("the table of %s is not current; go test -rewrite writes it\nwant:\n%s", manual, want.String())
		return
	}
	if err := os.WriteFile(manual, []byte(before+settingsBegin+want.String()+settingsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every setting can be set by the text that it prints, and has its place in what is printed.
func TestSettingsRoundTrip(t *testing.T) {
	effective, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	flags := make(map[string]string)
	for _, s := range Settings() {
		if s.Usage == "" || strings.HasSuffix(s.Usage, ".") {
			t.Errorf("%s: usage %q", s.Name, s.Usage)
		}
		flags[s.Name] = effective.Value(s)
	}
	again, err := Load(Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	if again.Config != effective.Config {
		t.Errorf("%+v became %+v", effective.Config, again.Config)
	}
}
