package api_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

var generated = regexp.MustCompile(`\.(pb|connect)\.go$`)

// TestGeneratedCodeIsCurrent generates everything anew and compares: a .proto file that was changed
// without its code, code changed by hand and code whose .proto file is gone all fail.
func TestGeneratedCodeIsCurrent(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("tools/install, which builds the plug-ins, needs bash")
	}
	// Read here because go test caches results by what the test itself opened.
	if _, err := os.ReadFile(filepath.Join("..", "tools", "versions")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "-C", filepath.Join("internal", "generate"), "run", ".", "-out", dir)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want, got := generatedIn(t, dir), generatedIn(t, ".")
	if len(want) == 0 {
		t.Fatal("the generator made nothing")
	}
	for path, text := range want {
		if !bytes.Equal(got[path], text) {
			t.Errorf("%s is not what its .proto file makes: run make generate", path)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%s: no .proto file makes it", path)
		}
	}
}

// generatedIn reads the generated files below dir, by their paths from there.
func generatedIn(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	root := os.DirFS(dir)
	files := map[string][]byte{}
	err := fs.WalkDir(root, ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && generated.MatchString(path) {
			files[path], err = fs.ReadFile(root, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
