package s3server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/tiering"
)

func TestServer(t *testing.T) {
	s := New(t)
	store := s.Open(t, "bucket", "prefix")
	if err := store.Put(t.Context(), "k", bytes.NewReader([]byte("x")), 1, tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateBucket("bucket"); err == nil {
		t.Error("a bucket is made twice")
	}
	if s.Pid() <= 0 || !strings.HasPrefix(s.Endpoint, "http://127.0.0.1:") {
		t.Errorf("pid %d, endpoint %s", s.Pid(), s.Endpoint)
	}
	for range 2 {
		s.Close()
	}
	if s.healthy(t.Context()) {
		t.Error("it answers after Close")
	}
}

// TestMissing shows that a missing server is an error with its reason, never a skip.
func TestMissing(t *testing.T) {
	if _, err := Start(t.Context(), t.TempDir()+"/no-such-binary", t.TempDir()); err == nil || !strings.Contains(err.Error(), "no-such-binary") {
		t.Errorf("error is %v", err)
	}
	if _, err := Start(t.Context(), "/bin/false", t.TempDir()); err == nil || !strings.Contains(err.Error(), "ended at its start") {
		t.Errorf("error is %v", err)
	}
	t.Chdir("/")
	if _, err := Binary(t.Context()); err == nil || !strings.Contains(err.Error(), "outside the repository") {
		t.Errorf("error is %v", err)
	}
}

// TestProxy passes everything on when nobody meddles, and what is changed is accepted.
func TestProxy(t *testing.T) {
	s := New(t)
	store := s.Open(t, "bucket", "")
	location := s.Location("bucket", "")
	var seen []string
	location.Endpoint = s.Proxy(t, func(next http.RoundTripper) http.RoundTripper {
		return RoundTrip(func(r *http.Request) (*http.Response, error) {
			seen = append(seen, r.Method+" "+r.URL.Path)
			r.Header.Set("X-Amz-Meta-Changed", "yes")
			return next.RoundTrip(r)
		})
	})
	through := open(t, location, s.Config())
	if err := through.Put(t.Context(), "k", bytes.NewReader([]byte("x")), 1, tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Head(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if want := []string{"HEAD /bucket", "PUT /bucket/k"}; strings.Join(seen, ",") != strings.Join(want, ",") {
		t.Errorf("seen %q, want %q", seen, want)
	}
}
