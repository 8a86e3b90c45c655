package broker

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

func TestHits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hits")
	none, err := Hits(path)
	if err != nil || len(none) != 0 {
		t.Fatalf("no file: %v, %v", none, err)
	}
	// Process 7 and, later, another one of the same number; process 8 beside it.
	text := "7 a 0\n7 b 0\n7 a 1\n7 a 2\n8 a 0\n8 b 0\n7 a 4\n8 a 1\n7 a 0\n7 b 0\n7 a 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Hits(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int64{"a": 4 + 1 + 1, "b": 0}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for from, want := range map[int64]bool{0: true, int64(len(text)) - 6: false} {
		if got, err := Reached(path, from, "a", 4); err != nil || got != want {
			t.Errorf("from byte %d on, 4 hits of a: %v, %v", from, got, err)
		}
	}
	if end, err := HitsEnd(path); err != nil || end != int64(len(text)) {
		t.Errorf("the file ends at %d, %v", end, err)
	}
	if err := os.WriteFile(path, []byte("7 a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Hits(path); err == nil {
		t.Error("half a line was taken for a count")
	}
}
