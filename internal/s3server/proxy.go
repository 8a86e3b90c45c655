package s3server

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// RoundTrip is an [http.RoundTripper] made of a function.
type RoundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Proxy puts a reverse proxy in front of the server for the time of the test and returns its endpoint. What meddle
// does to requests and answers makes it another, worse server. Requests are signed anew behind it, so that changed
// headers and bodies are accepted.
func (s *Server) Proxy(t testing.TB, meddle func(next http.RoundTripper) http.RoundTripper) string {
	t.Helper()
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0), // what breaks is broken on purpose
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: meddle(RoundTrip(func(r *http.Request) (*http.Response, error) {
			if err := sign(r); err != nil {
				return nil, err
			}
			return transport.RoundTrip(r)
		})),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // the connection breaks: what a client sees of a server that died
		},
	})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

func sign(r *http.Request) error {
	const unsigned = "UNSIGNED-PAYLOAD"
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	creds := aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: SecretKey}
	return v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).
		SignHTTP(r.Context(), creds, r, unsigned, "s3", "us-east-1", time.Now())
}
