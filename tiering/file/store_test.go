package file

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratamq/stratamq/tiering"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s *Store, key, body string) {
	t.Helper()
	if err := s.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
}

// tree lists all files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestBytes shows that a file is the object and nothing else, so that anybody's tools can copy a store.
func TestBytes(t *testing.T) {
	dir := t.TempDir() + "/a/b"
	s := open(t, dir)
	put(t, s, "x/y/z", "hello")
	got, err := os.ReadFile(dir + "/x/y/z")
	if err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if names := tree(t, dir); len(names) != 1 {
		t.Errorf("files are %q", names)
	}
	if err := s.Delete(t.Context(), "x/y/z"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty directory stays: %v", err)
	}
	if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil { // a file in the way of a directory
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "x/y", strings.NewReader(""), 0, tiering.PutOptions{}); !errors.Is(err, tiering.ErrInvalidKey) {
		t.Errorf("an object below an object: %v", err)
	}
}

// TestEscape plants canaries outside the store, and links to them inside: none is read, replaced or removed.
func TestEscape(t *testing.T) {
	base := t.TempDir()
	canary := base + "/canary/file"
	if err := os.MkdirAll(base+"/canary", 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(canary, []byte("alive"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, base+"/store")
	if err := os.Symlink(base+"/canary", base+"/store/link"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"../canary/file", "link/file", "a/../../canary/file", canary, "link/new"} {
		ctx := t.Context()
		if err := s.Put(ctx, key, strings.NewReader("dead!"), 5, tiering.PutOptions{}); err == nil {
			t.Errorf("put of %q succeeds", key)
		}
		if err := s.GetRange(ctx, key, make([]byte, 5), 0); err == nil {
			t.Errorf("get of %q succeeds", key)
		}
		_ = s.Delete(ctx, key) // what it says does not matter, what it does is looked at below
	}
	for info, err := range s.List(t.Context(), "", "") {
		t.Errorf("listed %q, %v", info.Key, err)
	}
	if got, err := os.ReadFile(canary); err != nil || string(got) != "alive" {
		t.Errorf("the canary is %q, %v", got, err)
	}
	if names := tree(t, base+"/canary"); len(names) != 1 {
		t.Errorf("beside the canary: %q", names)
	}
}

// failing is a body that ends too early.
type failing struct{}

var errBody = errors.New("body failed")

func (failing) ReadAt(b []byte, off int64) (int, error) {
	if off > 0 {
		return 0, errBody
	}
	return min(len(b), 100), errBody
}

// TestFailedPut leaves neither an object nor a temporary file, and spares the object that was there.
func TestFailedPut(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := open(t, dir)
	put(t, s, "k", "old")
	if err := s.Put(t.Context(), "k", failing{}, 1000, tiering.PutOptions{}); !errors.Is(err, errBody) {
		t.Errorf("error is %v", err)
	}
	err := s.Put(t.Context(), "k", strings.NewReader("new"), 3, tiering.PutOptions{HasCRC32C: true, CRC32C: 1})
	if !errors.Is(err, tiering.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
	err = s.Put(t.Context(), "k", strings.NewReader("new"), 3, tiering.PutOptions{IfAbsent: true})
	if !errors.Is(err, tiering.ErrExists) {
		t.Errorf("error is %v", err)
	}
	if names := tree(t, dir); len(names) != 1 || names[0] != "k" {
		t.Errorf("files are %q", names)
	}
	if got, err := os.ReadFile(dir + "/k"); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestStale removes temporary files that nobody writes any more, and no others.
func TestStale(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := open(t, dir)
	upload, err := s.Create(t.Context(), "k", tiering.MinPartSize)
	if err != nil {
		t.Fatal(err)
	}
	stale := dir + "/.tmp/stale"
	if err := os.WriteFile(stale, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * tempMaxAge)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // a second process
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale file stays: %v", err)
	}
	if err := upload.Part(t.Context(), 1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := upload.Complete(t.Context(), 1, tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if names := tree(t, dir); len(names) != 1 || names[0] != "k" {
		t.Errorf("files are %q", names)
	}
}

// TestTruncated reads a file that somebody cut.
func TestTruncated(t *testing.T) {
	dir := t.TempDir() + "/s"
	s := open(t, dir)
	put(t, s, "k", "0123456789")
	if err := os.Truncate(dir+"/k", 5); err != nil {
		t.Fatal(err)
	}
	if err := s.GetRange(t.Context(), "k", make([]byte, 10), 0); !errors.Is(err, tiering.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	blocked := t.TempDir() + "/file"
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", "relative", "/", blocked + "/x"} {
		if s, err := Open(dir); err == nil {
			t.Errorf("%q opens", dir)
			_ = s.Close()
		}
	}
	s := open(t, t.TempDir()+"/s")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "k", bytes.NewReader(nil), 0, tiering.PutOptions{}); err == nil {
		t.Error("a closed store takes objects")
	}
}
