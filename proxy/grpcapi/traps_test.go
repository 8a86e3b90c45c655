package grpcapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// trapCount is how many traps the protocol's fact sheet lists.
const trapCount = 38

// TestEveryTrapHasATestOrAReason reads testdata/traps.md: no number is missing, and every test that it names exists.
func TestEveryTrapHasATestOrAReason(t *testing.T) {
	table, err := os.ReadFile("testdata/traps.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := testFunctions(t)
	seen := map[int]bool{}
	for line := range strings.Lines(string(table)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil {
			continue // a heading, or text
		}
		if seen[number] || len(cells) != 3 || strings.TrimSpace(cells[1]) == "" {
			t.Errorf("line %q", line)
			continue
		}
		seen[number] = true
		named := regexp.MustCompile(`\bTest\w+`).FindAllString(cells[2], -1)
		reason, hasReason := strings.CutPrefix(strings.TrimSpace(cells[2]), "reason: ")
		if len(named) == 0 && (!hasReason || len(reason) < 20) {
			t.Errorf("trap %d has neither a test nor a reason", number)
		}
		for _, name := range named {
			if !tests[name] {
				t.Errorf("trap %d names %s, which does not exist", number, name)
			}
		}
	}
	for number := range trapCount {
		if !seen[number+1] {
			t.Errorf("trap %d is missing", number+1)
		}
	}
	if len(seen) != trapCount {
		t.Errorf("%d traps, want %d", len(seen), trapCount)
	}
}

// testFunctions returns the names of this package's tests.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				out[f.Name.Name] = true
			}
		}
	}
	return out
}
