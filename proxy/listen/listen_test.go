package listen

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
)

var quiet = slog.New(slog.DiscardHandler)

func selfSigned(t *testing.T, dir string) *Certificate {
	t.Helper()
	c, err := SelfSigned(dir, []string{"mq.example.com", "10.1.2.3"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shaken is what a server side got out of a handshake.
type shaken struct {
	conn net.Conn
	info credentials.AuthInfo
	err  error
}

// serve runs the server's side of one connection.
func serve(t *testing.T, c *Certificate) (net.Conn, <-chan shaken) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	if err := errors.Join(l.Close(), client.SetDeadline(deadline), server.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close() // a test may have done so already
		_ = server.Close()
	})
	done := make(chan shaken, 1)
	go func() {
		conn, info, err := Credentials(c).ServerHandshake(server)
		done <- shaken{conn, info, err}
	}()
	return client, done
}

func TestPlaintextKeepsItsFirstByte(t *testing.T) {
	client, done := serve(t, selfSigned(t, t.TempDir()))
	go func() { _, _ = io.WriteString(client, "PRI * HTTP/2.0") }() // its failure shows at the other end
	got := <-done
	if got.err != nil || got.info.AuthType() != "plaintext" {
		t.Fatalf("%+v", got)
	}
	b := make([]byte, len("PRI * HTTP/2.0"))
	if _, err := io.ReadFull(got.conn, b); err != nil || string(b) != "PRI * HTTP/2.0" {
		t.Errorf("%q %v", b, err)
	}
}

func TestTLSNegotiatesH2(t *testing.T) {
	cert := selfSigned(t, t.TempDir())
	for _, protocols := range [][]string{{"h2"}, {"h2", "http/1.1"}, nil} {
		client, done := serve(t, cert)
		secure := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols})
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := ""
		if protocols != nil {
			want = "h2"
		}
		got := <-done
		if got.err != nil || got.info.AuthType() != "tls" || secure.ConnectionState().NegotiatedProtocol != want {
			t.Errorf("%+v, protocol %q", got, secure.ConnectionState().NegotiatedProtocol)
		}
	}
}

func TestSilentAndBrokenClients(t *testing.T) {
	cert := selfSigned(t, t.TempDir())
	client, done := serve(t, cert)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err == nil || !strings.HasPrefix(got.err.Error(), "first byte: ") {
		t.Errorf("silent: %+v", got)
	}
	client, done = serve(t, cert)
	go func() {
		_, _ = client.Write([]byte{0x16, 'x', 'y', 'z', 0, 0, 0})
		_, _ = io.Copy(io.Discard, client)
	}()
	if got := <-done; got.err == nil || !strings.HasPrefix(got.err.Error(), "TLS handshake: ") {
		t.Errorf("broken: %+v", got)
	}
}

// TestSelfSigned makes a certificate once, keeps it over a restart, and lets a client that checks names use
// the file as its root.
func TestSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	first := selfSigned(t, dir)
	if again := selfSigned(t, dir); again.Fingerprint() != first.Fingerprint() {
		t.Error("another certificate after a restart")
	}
	for _, name := range []string{"cert.pem", "key.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	pem, err := os.ReadFile(first.File())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the file")
	}
	for name, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "mq.example.com": true, "10.1.2.3": true, "other": false} {
		client, done := serve(t, first)
		err := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: name}).HandshakeContext(t.Context())
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		_ = client.Close()
		<-done
	}
}

// TestReload changes the files under a server: the next handshakes take the new pair, and keep it when the
// files are damaged.
func TestReload(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	c, next := selfSigned(t, dir), selfSigned(t, other)
	old := c.Fingerprint()
	shown := func() string {
		t.Helper()
		if _, err := c.get(nil); err != nil {
			t.Fatal(err)
		}
		return c.Fingerprint()
	}
	copyFile := func(name string, change func([]byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, name)
		if err := os.WriteFile(target, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Minute)
		if err := os.Chtimes(target, later, later); err != nil {
			t.Fatal(err)
		}
	}
	asIs := func(b []byte) []byte { return b }
	shown()
	forget := func() { c.mu.checked = time.Time{} } // as if a second had passed
	copyFile("cert.pem", asIs)
	if forget(); shown() != old {
		t.Error("half a pair was taken")
	}
	copyFile("key.pem", asIs)
	if shown() != old {
		t.Error("files are looked at on every handshake")
	}
	if forget(); shown() != next.Fingerprint() {
		t.Error("the new pair was not taken")
	}
	copyFile("cert.pem", func([]byte) []byte { return []byte("damage") })
	if forget(); shown() != next.Fingerprint() {
		t.Error("damage was taken")
	}
	if err := os.Remove(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	if forget(); shown() != next.Fingerprint() {
		t.Error("a pair that is gone was taken")
	}
}

func TestLoadCertificateThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadCertificate(filepath.Join(dir, "c"), filepath.Join(dir, "k"), quiet); err == nil || !strings.Contains(err.Error(), "certificate "+filepath.Join(dir, "c")) {
		t.Error(err)
	}
}

func TestOnlyForServers(t *testing.T) {
	c := Credentials(selfSigned(t, t.TempDir()))
	if _, _, err := c.ClientHandshake(context.Background(), "", nil); err == nil {
		t.Error("it dials")
	}
	if c.Clone() == c || c.Info().SecurityProtocol != "tls or plaintext" {
		t.Error("it is no server's credentials")
	}
}
