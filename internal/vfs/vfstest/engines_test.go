package vfstest

import (
	"io/fs"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
)

// TestEngines runs the contract against every engine, and fails if a folder beside this one holds
// an engine that did not run.
func TestEngines(t *testing.T) {
	engines := map[string]func(t *testing.T) (vfs.FS, string){
		"osfs":  func(t *testing.T) (vfs.FS, string) { return osfs.New(), t.TempDir() },
		"memfs": func(*testing.T) (vfs.FS, string) { return memfs.New(1), "/" },
	}
	var ran []string
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		t.Run(name, func(t *testing.T) { Run(t, engines[name]) })
		ran = append(ran, name)
	}
	t.Logf("engines that ran: %v", ran)

	folders, err := fs.Glob(os.DirFS(".."), "*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, f := range folders {
		if name := f[:len(f)-len("/doc.go")]; name != "vfstest" {
			want = append(want, name)
		}
	}
	if !slices.Equal(ran, want) {
		t.Errorf("engines that ran: %v; engines there are: %v", ran, want)
	}
}
