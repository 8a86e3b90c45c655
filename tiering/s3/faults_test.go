package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/objecttest"
	"github.com/stratamq/stratamq/tiering/s3"
)

// respond answers a request without asking the server.
func respond(r *http.Request, status int, code string) *http.Response {
	body := `<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>of the test</Message></Error>`
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/xml"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

type fault func(next http.RoundTripper, r *http.Request) (*http.Response, error)

// every makes each n-th request meet a fault, one after the other.
func every(n int64, faults ...fault) func(http.RoundTripper) http.RoundTripper {
	var count atomic.Int64
	return func(next http.RoundTripper) http.RoundTripper {
		return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
			i := count.Add(1)
			if i%n != 0 {
				return next.RoundTrip(r)
			}
			return faults[i/n%int64(len(faults))](next, r)
		})
	}
}

func unavailable(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	return respond(r, http.StatusInternalServerError, "InternalError"), nil
}

func slowDown(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
	return respond(r, http.StatusServiceUnavailable, "SlowDown"), nil
}

var errBroken = errors.New("connection broken")

func breakBefore(http.RoundTripper, *http.Request) (*http.Response, error) { return nil, errBroken }

// breakAfter lets the request take effect and loses the answer.
func breakAfter(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(errBroken, resp.Body.Close())
}

// cutBody ends the answer after half of its bytes.
func cutBody(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := next.RoundTrip(r)
	if err != nil || r.Method == http.MethodHead || resp.ContentLength < 2 {
		return resp, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(resp.Body, resp.ContentLength/2), errReader{}), resp.Body}
	return resp, nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// wrongRange answers with a shorter range than was asked for, and says so.
func wrongRange(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	var first, last int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); err == nil && last > first {
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last-1))
	}
	return next.RoundTrip(r)
}

func openAt(t *testing.T, server *s3server.Server, bucket string, config s3.Config, meddle func(http.RoundTripper) http.RoundTripper) *s3.Store {
	t.Helper()
	location := server.Location(bucket, "")
	location.Endpoint = server.Proxy(t, meddle)
	store, err := s3.Open(t.Context(), location, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestConformanceUnderFaults runs the whole contract while requests fail: the driver's retries hide all of it.
func TestConformanceUnderFaults(t *testing.T) {
	server := s3server.New(t)
	var buckets atomic.Int64
	for name, faults := range map[string][]fault{
		"refused":    {unavailable, slowDown, breakBefore},
		"took place": {breakAfter, cutBody, wrongRange},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objecttest.Run(t, func(t *testing.T) tiering.ObjectStore {
				bucket := fmt.Sprintf("faults-%d", buckets.Add(1))
				if err := server.CreateBucket(bucket); err != nil {
					t.Fatal(err)
				}
				config := server.Config()
				config.BaseDelay, config.MaxDelay = time.Millisecond, 5*time.Millisecond
				config.Attempts = 20 // callers side by side may meet the fault many times in a row
				return openAt(t, server, bucket, config, every(3, faults...))
			})
		})
	}
}

// TestLostAnswer repeats a conditional put whose answer was lost, against its own object and against another's.
func TestLostAnswer(t *testing.T) {
	server := s3server.New(t)
	if err := server.CreateBucket("lost"); err != nil {
		t.Fatal(err)
	}
	var puts atomic.Int64
	ours := []byte("our bytes")
	var steal atomic.Pointer[s3.Store]
	store := openAt(t, server, "lost", server.Config(), func(next http.RoundTripper) http.RoundTripper {
		return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPut || puts.Add(1) != 1 {
				return next.RoundTrip(r)
			}
			if thief := steal.Load(); thief != nil { // somebody else's object comes first
				if err := thief.Put(r.Context(), "b", bytes.NewReader([]byte("not ours.")), 9, tiering.PutOptions{}); err != nil {
					return nil, err
				}
				return nil, errBroken
			}
			return breakAfter(next, r)
		})
	})
	opts := tiering.PutOptions{IfAbsent: true}
	if err := store.Put(t.Context(), "a", bytes.NewReader(ours), int64(len(ours)), opts); err != nil {
		t.Errorf("our own object is in our way: %v", err)
	}
	puts.Store(0)
	direct, err := s3.Open(t.Context(), server.Location("lost", ""), server.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close() //nolint:errcheck // errcheck: it closes idle connections alone
	steal.Store(direct)
	if err := store.Put(t.Context(), "b", bytes.NewReader(ours), int64(len(ours)), opts); !errors.Is(err, tiering.ErrExists) {
		t.Errorf("another's object is taken for ours: %v", err)
	}
}

// TestGivesUp bounds the attempts, and says what the server said.
func TestGivesUp(t *testing.T) {
	server := s3server.New(t)
	if err := server.CreateBucket("gives-up"); err != nil {
		t.Fatal(err)
	}
	config := server.Config()
	config.Attempts = 3
	for _, c := range []struct {
		fault fault
		want  error
		text  string
		calls int64 // 0: the transport repeats some by itself
	}{
		{unavailable, tiering.ErrUnavailable, `head "k": after 3 attempts: object store unavailable`, 3},
		{slowDown, tiering.ErrThrottled, `head "k": after 3 attempts: object store throttles`, 3},
		{breakBefore, tiering.ErrUnavailable, "after 3 attempts", 0},
		{func(_ http.RoundTripper, r *http.Request) (*http.Response, error) {
			return respond(r, http.StatusForbidden, "AccessDenied"), nil
		}, tiering.ErrDenied, `head "k": object store access denied`, 1},
	} {
		var calls atomic.Int64
		armed := atomic.Bool{}
		store := openAt(t, server, "gives-up", config, func(next http.RoundTripper) http.RoundTripper {
			return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
				if !armed.Load() {
					return next.RoundTrip(r)
				}
				calls.Add(1)
				return c.fault(next, r)
			})
		})
		armed.Store(true)
		_, err := store.Head(t.Context(), "k")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || c.calls != 0 && calls.Load() != c.calls {
			t.Errorf("%d calls, error %v; want %d, %q", calls.Load(), err, c.calls, c.text)
		}
		if strings.Contains(err.Error(), s3server.SecretKey) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

// TestHang ends an attempt that gets no answer, and the next one succeeds.
func TestHang(t *testing.T) {
	server := s3server.New(t)
	if err := server.CreateBucket("hang"); err != nil {
		t.Fatal(err)
	}
	config := server.Config()
	config.AttemptTimeout = 300 * time.Millisecond
	var hung atomic.Bool
	store := openAt(t, server, "hang", config, func(next http.RoundTripper) http.RoundTripper {
		return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet && hung.CompareAndSwap(false, true) {
				<-r.Context().Done() // until the client has gone
				return nil, r.Context().Err()
			}
			return next.RoundTrip(r)
		})
	})
	if err := store.Put(t.Context(), "k", bytes.NewReader([]byte("x")), 1, tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := store.GetRange(t.Context(), "k", make([]byte, 1), 0); err != nil || !hung.Load() {
		t.Errorf("hung %v, error %v", hung.Load(), err)
	}
}

// TestOpenErrors are the sentences of a wrong configuration.
func TestOpenErrors(t *testing.T) {
	server := s3server.New(t)
	if err := server.CreateBucket("there"); err != nil {
		t.Fatal(err)
	}
	wrongKey := server.Config()
	wrongKey.SecretAccessKey = "hunter2"
	half := server.Config()
	half.SecretAccessKey = ""
	impatient := server.Config()
	impatient.Attempts = 2
	nobody := server.Location("there", "")
	nobody.Endpoint = "http://127.0.0.1:1"
	for _, c := range []struct {
		location tiering.Location
		config   s3.Config
		want     error
		text     string
	}{
		{server.Location("not-there", ""), server.Config(), tiering.ErrNoBucket, `there is no bucket "not-there" at ` + server.Endpoint + "; create it, or correct the URL"},
		{server.Location("there", ""), wrongKey, tiering.ErrDenied, `the credentials may not use bucket "there"`},
		{server.Location("there", ""), half, nil, "access_key_id and secret_access_key"},
		{nobody, impatient, tiering.ErrUnavailable, "after 2 attempts"},
		{tiering.Location{Scheme: tiering.SchemeFile}, server.Config(), tiering.ErrInvalidURL, "not an s3 URL"},
	} {
		store, err := s3.Open(t.Context(), c.location, c.config)
		if err == nil {
			t.Errorf("%s opens", c.location)
			_ = store.Close()
			continue
		}
		if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error is %v, want %q", err, c.text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s3.Open(ctx, server.Location("there", ""), server.Config()); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

func TestNoCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	location := tiering.Location{Scheme: tiering.SchemeS3, Bucket: "bucket", Endpoint: "http://127.0.0.1:1", Region: "us-east-1", PathStyle: true}
	_, err := s3.Open(t.Context(), location, s3.DefaultConfig())
	if !errors.Is(err, tiering.ErrDenied) || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") {
		t.Errorf("error is %v", err)
	}
}
