package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const manual = "../../../../docs/cli.md"

// commands returns every command that does something, with its whole name.
func commands(c *cobra.Command) map[string]*cobra.Command {
	all := make(map[string]*cobra.Command)
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() || sub.Name() == "help" {
			continue
		}
		below := commands(sub)
		maps.Copy(all, below)
		if len(below) == 0 {
			all[sub.CommandPath()] = sub
		}
	}
	return all
}

func newRoot() *cobra.Command {
	e := &env{stdin: bytes.NewReader(nil), stdout: io.Discard, stderr: io.Discard}
	return e.rootCommand()
}

// The manual lists every command, and no other; the exit codes stand in it as in --help.
func TestManual(t *testing.T) {
	raw, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	all := commands(newRoot())
	var listed []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "| `strata "); ok {
			name, _, _ = strings.Cut(name, "`")
			listed = append(listed, "strata "+name)
		}
	}
	for name := range all {
		if !slices.Contains(listed, name) {
			t.Errorf("%s does not list %s", manual, name)
		}
	}
	for _, name := range listed {
		if all[name] == nil {
			t.Errorf("%s lists %s, which there is not", manual, name)
		}
	}
	for code := exitOK; code <= exitNotYet; code++ {
		if !strings.Contains(text, fmt.Sprintf("| %d | ", code)) || !strings.Contains(rootHelp, fmt.Sprintf("\n  %d   ", code)) {
			t.Errorf("exit code %d is not in the manual and in --help", code)
		}
	}
}

// Every command says what it does, and those that take something show it.
func TestHelp(t *testing.T) {
	for name, c := range commands(newRoot()) {
		if c.Short == "" {
			t.Errorf("%s has no short text", name)
		}
		if c.Example == "" && strings.Count(name, " ") > 1 {
			t.Errorf("%s has no example", name)
		}
	}
}
