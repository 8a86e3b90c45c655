package drivers

import (
	"errors"
	"testing"

	"github.com/stratamq/stratamq/tiering"
)

func TestOpen(t *testing.T) {
	location := tiering.Location{Scheme: tiering.SchemeFile, Dir: t.TempDir() + "/a/b"}
	store, err := Open(t.Context(), location, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if store.String() != location.String() {
		t.Errorf("store is %s, want %s", store, location)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []tiering.Location{{}, {Scheme: "gs"}, {Scheme: tiering.SchemeFile, Dir: "relative"}} {
		if store, err := Open(t.Context(), bad, DefaultConfig()); store != nil || !errors.Is(err, tiering.ErrInvalidURL) {
			t.Errorf("open %+v gives %v, %v", bad, store, err)
		}
	}
	// A driver that cannot be opened gives no store at all, not one that is nil inside.
	if store, err := Open(t.Context(), tiering.Location{Scheme: tiering.SchemeS3, Bucket: "b"}, Config{}); store != nil || err == nil {
		t.Errorf("open gives %v, %v", store, err)
	}
}
