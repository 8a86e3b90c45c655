package archtest

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

//go:embed arrows.txt
var arrowsText string

// repository is the root, seen from this folder, where `go test` runs.
const repository = "../.."

func TestArrows(t *testing.T) {
	table, err := parseArrows(arrowsText)
	if err != nil {
		t.Fatal(err)
	}
	packages := workspacePackages(t)
	complain(t, checkArrows(table, packages))
	complain(t, checkOutside(table, repositorySources(t), packages))
}

func TestDocs(t *testing.T) { complain(t, checkDocs(workspacePackages(t))) }

func TestLength(t *testing.T) { complain(t, checkLength(repositorySources(t))) }

func TestSleep(t *testing.T) { complain(t, checkSleep(repositorySources(t))) }

func TestDecodersAreFuzzed(t *testing.T) { complain(t, checkFuzz(repositorySources(t))) }

// TestChecksCanFail feeds every check what it is there to refuse, next to what it has to let pass.
func TestChecksCanFail(t *testing.T) {
	table, err := parseArrows("a/... -> a/... b\nb ->\na/... test -> c\na/... never os")
	if err != nil {
		t.Fatal(err)
	}
	pkg := func(path string, imports ...string) listed {
		return listed{ImportPath: modulePath + "/" + path, Name: "x", GoFiles: []string{"x.go"}, Imports: imports}
	}
	our := func(path string) string { return modulePath + "/" + path }

	for _, c := range []struct {
		name string
		got  []string
		want string // part of the one complaint, or empty for none
	}{
		{"arrow", checkArrows(table, []listed{pkg("a/x", our("a"), our("b"), "fmt")}), ""},
		{"no arrow", checkArrows(table, []listed{pkg("b", our("a/x"))}), "b imports a/x: no such arrow"},
		{"below an exact name", checkArrows(table, []listed{pkg("a", our("b/x"))}), "a imports b/x: no such arrow"},
		{"prefix of a name", checkArrows(table, []listed{pkg("ab")}), "ab has no line"},
		{"test arrow only for tests", checkArrows(table, []listed{pkg("a", our("c"))}), "a imports c"},
		{"test arrow", checkArrows(table, []listed{{ImportPath: our("a"), TestImports: []string{our("c")}}}), ""},
		{"no test arrow", checkArrows(table, []listed{{ImportPath: our("b"), XTestImports: []string{our("c")}}}), "a test of b"},
		{"never", checkArrows(table, []listed{pkg("a/x", "os")}), "a/x imports os"},
		{"never, in a test", checkArrows(table, []listed{{ImportPath: our("a"), TestImports: []string{"os"}}}), ""},
		{"outside", checkOutside(table, parse(t, "b/x.go", `import _ "`+our("a")+`"`), nil), "b imports a"},
		{"doc missing", checkDocs([]listed{pkg("a")}), "no doc comment"},
		{"doc of another", checkDocs([]listed{{Name: "x", Doc: "Package y is.", GoFiles: []string{"x.go"}}}), "does not begin"},
		{"doc", checkDocs([]listed{{Name: "x", Doc: "Package x is.", GoFiles: []string{"x.go"}}}), ""},
		{"long file", checkLength(parse(t, "x.go", strings.Repeat("\n", maxLines))), "two concepts"},
		{"sleep", checkSleep(parse(t, "x_test.go", "func f() { time.Sleep(1) }")), "a test sleeps"},
		{"sleep in a bubble", checkSleep(parse(t, "x_test.go", "func f() { synctest.Test(t, func() { time.Sleep(1) }) }")), ""},
		{"sleep outside of tests", checkSleep(parse(t, "x.go", "func f() { time.Sleep(1) }")), ""},
		{"decoder", checkFuzz(parse(t, "x.go", "func DecodeX(src []byte) {}")), "DecodeX decodes bytes"},
		{"decoding method", checkFuzz(parse(t, "x.go", "func (*T) UnmarshalText(src []byte) {}")), "UnmarshalText"},
		{"parser", checkFuzz(parse(t, "x.go", "func ParseX(s string) {}")), "ParseX decodes bytes"},
		{"private decoder", checkFuzz(parse(t, "x.go", "func (*t) DecodeX(src []byte) {}\nfunc decodeY(src []byte) {}")), ""},
		{"no bytes", checkFuzz(parse(t, "x.go", "func DecodeX(n int) {}\nfunc ParseY() {}")), ""},
		{"fuzzed through a helper", checkFuzz(append(parse(t, "x.go", "func DecodeX(src []byte) {}"),
			parse(t, "x_test.go", "func FuzzX() { f() }\nfunc f() { DecodeX(nil) }")...)), ""},
		{"only tested", checkFuzz(append(parse(t, "x.go", "func DecodeX(src []byte) {}"),
			parse(t, "x_test.go", "func FuzzX() {}\nfunc TestX() { DecodeX(nil) }")...)), "DecodeX decodes bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case c.want == "" && len(c.got) > 0:
				t.Errorf("complains without a reason: %q", c.got)
			case c.want != "" && (len(c.got) != 1 || !strings.Contains(c.got[0], c.want)):
				t.Errorf("complaints %q, want one that contains %q", c.got, c.want)
			}
		})
	}

	for _, bad := range []string{"a", "a b", "a ->\na -> b", "a test b"} {
		if _, err := parseArrows(bad); err == nil {
			t.Errorf("parseArrows(%q) finds nothing wrong", bad)
		}
	}
}

func complain(t *testing.T, complaints []string) {
	t.Helper()
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

// parse returns the one file with the given body, after a package clause of one line.
func parse(t *testing.T, name, body string) []source {
	t.Helper()
	sources, err := parseTree(fstest.MapFS{name: {Data: []byte("package x\n" + body + "\n")}})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

func repositorySources(t *testing.T) []source {
	t.Helper()
	sources, err := parseTree(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) == 0 {
		t.Fatal("found no source: the test does not stand where it believes")
	}
	return sources
}

// workspacePackages lists the packages of every module of go.work.
func workspacePackages(t *testing.T) []listed {
	t.Helper()
	modules := goCommand(t, "list", "-m", "-f", "{{.Dir}}")
	var packages []listed
	for dir := range strings.Lines(modules) {
		relative, err := filepath.Rel(mustAbs(t, repository), strings.TrimSpace(dir))
		if err != nil {
			t.Fatal(err)
		}
		if !holdsGo(t, filepath.Join(repository, relative)) {
			continue
		}
		decoder := json.NewDecoder(strings.NewReader(goCommand(t, "list", "-json", "./"+filepath.ToSlash(relative)+"/...")))
		for {
			var p listed
			err := decoder.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			packages = append(packages, p)
		}
	}
	if len(packages) == 0 {
		t.Fatal("go list shows no package")
	}
	return packages
}

// holdsGo says whether there is a Go file anywhere below dir: go list fails on a module without one.
func holdsGo(t *testing.T, dir string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if filepath.Ext(name) == ".go" {
			found = true
			return filepath.SkipAll
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func goCommand(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = repository
	out, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w\n%s", err, exit.Stderr)
		}
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
