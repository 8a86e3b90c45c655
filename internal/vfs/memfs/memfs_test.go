package memfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "none"
	}
	must(t, err)
	n, err := f.Size()
	must(t, err)
	b := make([]byte, n)
	_, err = f.ReadAt(b, 0)
	must(t, errors.Join(err, f.Close()))
	return string(b)
}

func TestCrashForgetsWhatWasNotSynced(t *testing.T) {
	f := memfs.New(1)
	for _, name := range []string{"/synced", "/bytes", "/name"} {
		file, err := f.Create(name)
		must(t, err)
		_, err = file.WriteAt([]byte("old"), 0)
		must(t, err)
		if name != "/bytes" {
			must(t, file.Sync())
		}
		if name != "/name" {
			must(t, f.SyncDir("/"))
		}
	}
	after := f.Crash(1, memfs.CrashOptions{Keep: memfs.KeepNone})
	for name, want := range map[string]string{"/synced": "old", "/bytes": "", "/name": "none"} {
		if got := content(t, after, name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	if _, err := f.Open("/synced"); !errors.Is(err, memfs.ErrCrashed) {
		t.Errorf("the old file system answered %v", err)
	}
	all := after.Restart().Crash(1, memfs.CrashOptions{Keep: memfs.KeepAll})
	if got := content(t, all, "/synced"); got != "old" {
		t.Errorf("a second crash left %q", got)
	}
}

// TestCrashTears looks for every way in which two pages written over two others can come out.
func TestCrashTears(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(400) {
		f := memfs.New(seed)
		file, err := f.Create("/f")
		must(t, err)
		_, err = file.WriteAt(bytes.Repeat([]byte("a"), 8192), 0)
		must(t, err)
		must(t, file.Sync())
		must(t, f.SyncDir("/"))
		_, err = file.WriteAt(bytes.Repeat([]byte("b"), 8192), 0)
		must(t, err)
		_, err = file.WriteAt(bytes.Repeat([]byte("c"), 4096), 4096)
		must(t, err)
		got := content(t, f.Crash(seed, memfs.CrashOptions{}), "/f")
		again := content(t, f.Crash(seed, memfs.CrashOptions{}), "/f")
		if got != again {
			t.Fatalf("seed %d gave two different disks", seed)
		}
		torn := false
		for i := 0; i < len(got); i += 512 {
			if got[i:i+512] != string(bytes.Repeat([]byte{got[i]}, 512)) {
				t.Fatalf("seed %d tore a sector", seed)
			}
			torn = torn || i%4096 != 0 && got[i] != got[i-512]
		}
		seen[fmt.Sprintf("%c%c torn %v", got[0], got[4096], torn)] = true
	}
	for _, want := range []string{"aa", "ab", "ac", "ba", "bb", "bc"} {
		if !seen[want+" torn false"] {
			t.Errorf("never saw %s", want)
		}
	}
	if !seen["bc torn true"] || !seen["ac torn true"] {
		t.Errorf("never saw a page torn at a sector: %v", seen)
	}
}

func TestRenameIsOneStep(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(100) {
		f := memfs.New(seed)
		for name, text := range map[string]string{"/new": "new", "/f": "old"} {
			file, err := f.Create(name)
			must(t, err)
			_, err = file.WriteAt([]byte(text), 0)
			must(t, errors.Join(err, file.Sync()))
		}
		must(t, f.SyncDir("/"))
		must(t, f.Rename("/new", "/f"))
		after := f.Crash(seed, memfs.CrashOptions{})
		seen[content(t, after, "/new")+" "+content(t, after, "/f")] = true
	}
	if len(seen) != 2 || !seen["new old"] || !seen["none new"] {
		t.Error(seen)
	}
}

// TestFailedSyncLies shows the page cache after a sync that failed: it reads well, the next sync
// succeeds, and the bytes are gone all the same.
func TestFailedSyncLies(t *testing.T) {
	lost, kept := 0, 0
	for seed := range uint64(50) {
		f := memfs.New(seed)
		file, err := f.Create("/f")
		must(t, err)
		must(t, errors.Join(file.Truncate(3), file.Sync(), f.SyncDir("/")))
		other, err := f.Open("/f")
		must(t, err)
		_, err = file.WriteAt([]byte("new"), 0)
		must(t, err)
		f.SetHook(func(op memfs.Op) memfs.Fault {
			if op.Kind == memfs.OpSync {
				return memfs.Fault{Err: memfs.ErrInjected}
			}
			return memfs.Fault{}
		})
		if err := file.Sync(); !errors.Is(err, memfs.ErrInjected) {
			t.Fatal(err)
		}
		f.SetHook(nil)
		if got := content(t, f, "/f"); got != "new" {
			t.Fatalf("the cache shows %q", got)
		}
		must(t, file.Sync())
		if err := other.Sync(); !errors.Is(err, memfs.ErrInjected) {
			t.Fatalf("the other handle was told %v", err)
		}
		must(t, other.Sync())
		if content(t, f.Restart().Crash(seed, memfs.CrashOptions{Keep: memfs.KeepAll}), "/f") == "new" {
			kept++
		} else {
			lost++
		}
	}
	if lost == 0 || kept == 0 {
		t.Errorf("lost %d, kept %d", lost, kept)
	}
}

// TestFaultsComeInPairs fails every call that changes something, once without its effect and once with it.
func TestFaultsComeInPairs(t *testing.T) {
	for _, kind := range memfs.Kinds() {
		for _, effect := range []bool{false, true} {
			if !kind.Changes() {
				continue
			}
			untouched, _ := oneFile(t)
			before := state(t, untouched)
			f, file := oneFile(t)
			var err error
			f.SetHook(func(op memfs.Op) memfs.Fault {
				if op.Kind == kind {
					return memfs.Fault{Err: memfs.ErrInjected, Effect: effect}
				}
				return memfs.Fault{}
			})
			switch kind {
			case memfs.OpCreate:
				_, err = f.Create("/g")
			case memfs.OpRemove:
				err = f.Remove("/f")
			case memfs.OpRename:
				err = f.Rename("/f", "/g")
			case memfs.OpLink:
				err = f.Link("/f", "/g")
			case memfs.OpMkdirAll:
				err = f.MkdirAll("/g")
			case memfs.OpSyncDir:
				err = f.SyncDir("/")
			case memfs.OpWrite:
				_, err = file.WriteAt([]byte("x"), 0)
			case memfs.OpSync:
				err = file.Sync()
			case memfs.OpTruncate:
				err = file.Truncate(7)
			case memfs.OpFallocate:
				err = file.Fallocate(0, 4096)
			default:
				t.Fatalf("no call of kind %s in this test", kind)
			}
			if !errors.Is(err, memfs.ErrInjected) {
				t.Errorf("%s answered %v", kind, err)
			}
			f.SetHook(nil)
			if changed := state(t, f) != before; changed != (effect && kind != memfs.OpSync) {
				t.Errorf("%s, effect %v: changed %v", kind, effect, changed)
			}
		}
	}
}

func oneFile(t *testing.T) (*memfs.FS, vfs.File) {
	t.Helper()
	f := memfs.New(1)
	file, err := f.Create("/f")
	must(t, err)
	return f, file
}

// state tells everything that a program or, after a crash, its successor can see. It ends f.
func state(t *testing.T, f *memfs.FS) string {
	t.Helper()
	names, err := f.List("/")
	must(t, err)
	free, err := f.FreeSpace("/")
	must(t, err)
	var s strings.Builder
	fmt.Fprint(&s, names, free)
	for _, name := range f.Names() {
		s.WriteString(content(t, f, name))
	}
	disk := f.Restart().Crash(1, memfs.CrashOptions{Keep: memfs.KeepNone})
	return s.String() + fmt.Sprint(disk.Names())
}

func TestFullDisk(t *testing.T) {
	f := memfs.New(1)
	f.SetCapacity(10 * 4096)
	file, err := f.Create("/f")
	must(t, err)
	must(t, file.Fallocate(0, 8*4096))
	if err := file.Fallocate(8*4096, 4*4096); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatal(err)
	}
	other, err := f.Create("/g")
	must(t, err)
	if _, err := other.WriteAt(make([]byte, 3*4096), 0); !errors.Is(err, vfs.ErrNoSpace) {
		t.Fatal(err)
	}
	_, err = other.WriteAt(make([]byte, 2*4096), 0)
	must(t, err)
	_, err = file.WriteAt(make([]byte, 8*4096), 0) // what was reserved
	must(t, err)
}
