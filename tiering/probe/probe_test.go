package probe

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/s3"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// golden compares what the user reads with testdata/<name>.txt.
func golden(t *testing.T, name string, report Report, err error) {
	t.Helper()
	got := report.String()
	if err != nil {
		// The address differs from run to run.
		got += "error: " + regexp.MustCompile(`127\.0\.0\.1(:|%3A)\d+`).ReplaceAllString(err.Error(), "HOST") + "\n"
	}
	path := filepath.Join("testdata", name+".txt")
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if got != string(want) {
		t.Errorf("the probe says\n%swant\n%s", got, want)
	}
}

func wantEmpty(t *testing.T, store tiering.ObjectStore) {
	t.Helper()
	for info, err := range store.List(t.Context(), "", "") {
		t.Errorf("left behind: %q, %v", info.Key, err)
	}
}

func TestFile(t *testing.T) {
	store, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // errcheck: nothing was left open that could be lost
	report, err := Run(t.Context(), store)
	golden(t, "file", report, err)
	want := tiering.Capabilities{ConditionalPut: true, ConditionalComplete: true, ChecksumVerified: true, ListAfterPut: true}
	if report.Capabilities != want {
		t.Errorf("capabilities are %+v, want %+v", report.Capabilities, want)
	}
	wantEmpty(t, store)
}

// pass is a proxy that changes nothing.
func pass(next http.RoundTripper) http.RoundTripper { return next }

// ignoreConditions is a server that does not know If-None-Match.
func ignoreConditions(next http.RoundTripper) http.RoundTripper {
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		r.Header.Del("If-None-Match")
		return next.RoundTrip(r)
	})
}

// refuseConditions is a server that answers If-None-Match with 501.
func refuseConditions(next http.RoundTripper) http.RoundTripper {
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("If-None-Match") == "" {
			return next.RoundTrip(r)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		body := `<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header implies functionality that is not implemented.</Message></Error>`
		return &http.Response{
			StatusCode: http.StatusNotImplemented, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})
}

// shiftRanges is a server that is one byte off, and says what it was asked for.
func shiftRanges(next http.RoundTripper) http.RoundTripper {
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		var first, last int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err != nil || first == 0 {
			return next.RoundTrip(r)
		}
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first-1, last-1))
		resp, err := next.RoundTrip(r)
		if err == nil && resp.StatusCode == http.StatusPartialContent {
			_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
			resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", first, last, total))
		}
		return resp, err
	})
}

// ignoreRanges is a server that answers a range with the whole object.
func ignoreRanges(next http.RoundTripper) http.RoundTripper {
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		r.Header.Del("Range")
		return next.RoundTrip(r)
	})
}

var checksumElement = regexp.MustCompile(`<Checksum[^>]*>[^<]*</Checksum[^>]*>`)

// dropChecksums is a server that knows no checksums.
func dropChecksums(next http.RoundTripper) http.RoundTripper {
	drop := func(h http.Header) {
		for name := range h {
			if strings.Contains(strings.ToLower(name), "checksum") {
				h.Del(name)
			}
		}
	}
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		drop(r.Header)
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body = checksumElement.ReplaceAll(body, nil)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		resp, err := next.RoundTrip(r)
		if err == nil {
			drop(resp.Header)
		}
		return resp, err
	})
}

// staleLists is a server whose lists lag behind for ever.
func staleLists(next http.RoundTripper) http.RoundTripper {
	return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
		q := r.URL.Query()
		if q.Has("list-type") {
			q.Set("prefix", "of-yesterday")
			r.URL.RawQuery = q.Encode()
		}
		return next.RoundTrip(r)
	})
}

// TestS3 shows what each kind of weak server makes the broker say and do.
func TestS3(t *testing.T) {
	all := tiering.Capabilities{ConditionalPut: true, ConditionalComplete: true, ChecksumVerified: true, ChecksumReturned: true, ListAfterPut: true}
	without := func(change func(c *tiering.Capabilities)) tiering.Capabilities {
		c := all
		change(&c)
		return c
	}
	noConditions := without(func(c *tiering.Capabilities) { c.ConditionalPut, c.ConditionalComplete = false, false })
	server := s3server.New(t)
	for _, c := range []struct {
		name    string
		meddle  func(http.RoundTripper) http.RoundTripper
		want    tiering.Capabilities
		refused bool
	}{
		{"s3-plain", pass, all, false},
		{"s3-ignores-conditions", ignoreConditions, noConditions, false},
		{"s3-refuses-conditions", refuseConditions, noConditions, false},
		{"s3-shifts-ranges", shiftRanges, tiering.Capabilities{}, true},
		{"s3-ignores-ranges", ignoreRanges, tiering.Capabilities{}, true},
		{"s3-drops-checksums", dropChecksums, without(func(c *tiering.Capabilities) { c.ChecksumVerified, c.ChecksumReturned = false, false }), false},
		{"s3-stale-lists", staleLists, without(func(c *tiering.Capabilities) { c.ListAfterPut = false }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct := server.Open(t, c.name, "")
			location := server.Location(c.name, "")
			location.Endpoint = server.Proxy(t, c.meddle)
			store, err := s3.Open(t.Context(), location, server.Config())
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close() //nolint:errcheck // errcheck: it closes idle connections alone
			report, err := Run(t.Context(), store)
			golden(t, c.name, report, err)
			if _, refused := errors.AsType[*RefusedError](err); refused != c.refused {
				t.Errorf("error is %v, want refused %v", err, c.refused)
			}
			if report.Capabilities != c.want {
				t.Errorf("capabilities are %+v, want %+v", report.Capabilities, c.want)
			}
			wantEmpty(t, direct)
		})
	}
}
