package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

func TestTearWritesBehindTheLastFrame(t *testing.T) {
	dir := t.TempDir()
	logDir := filepath.Join(dir, "shards", "00000", "log")
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		t.Fatal(err)
	}
	frames := bytes.Repeat([]byte{7}, 2*page+100)
	old, active := filepath.Join(logDir, "00000000000000000000.log"), filepath.Join(logDir, "00000000000000016384.log")
	for _, path := range []string{old, active} {
		if err := os.WriteFile(path, append(bytes.Clone(frames), make([]byte, 10*page-len(frames))...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	torn, err := tear(dir, rand.New(rand.NewPCG(1, 1)))
	if err != nil || !torn {
		t.Fatalf("torn %v, %v", torn, err)
	}
	was, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	is, err := os.ReadFile(active)
	if err != nil {
		t.Fatal(err)
	}
	if len(is) != len(was) || !bytes.Equal(is[:3*page], was[:3*page]) || !bytes.Equal(is[4*page:], was[4*page:]) {
		t.Error("something else than the page behind the last frame was changed")
	}
	if bytes.Equal(is[3*page:4*page], was[3*page:4*page]) {
		t.Error("nothing was torn")
	}
}

func TestTearLeavesAFullSegmentAlone(t *testing.T) {
	dir := t.TempDir()
	logDir := filepath.Join(dir, "shards", "00000", "log")
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		t.Fatal(err)
	}
	full := bytes.Repeat([]byte{7}, 4*page)
	path := filepath.Join(logDir, "00000000000000000000.log")
	if err := os.WriteFile(path, full, 0o600); err != nil {
		t.Fatal(err)
	}
	torn, err := tear(dir, rand.New(rand.NewPCG(1, 1)))
	if err != nil || torn {
		t.Fatalf("torn %v, %v", torn, err)
	}
	if is, err := os.ReadFile(path); err != nil || !bytes.Equal(is, full) {
		t.Errorf("the segment was changed, %v", err)
	}
}
