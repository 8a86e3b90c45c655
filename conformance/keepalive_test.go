package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// The official clients ping connections that have no stream: C++ each 60 s, Java each 300 s. The broker allows a ping
// each 20 s and answers floods with a GOAWAY, as gRPC servers do: two pings that come too early are forgiven, the
// third one is answered with ENHANCE_YOUR_CALM and "too_many_pings".
const (
	pingInterval   = 20 * time.Second
	forgivenPings  = 2
	pingAckLimit   = 5 * time.Second
	pingMargin     = 200 * time.Millisecond // legal pings come this much later, floods wait not at all
	tooManyPings   = "too_many_pings"
	keepalivePings = 2 // legal pings per run, STRATA_KEEPALIVE_PINGS asks for more
)

// TestKeepalive is a raw HTTP/2 client: it sends nothing but what the protocol demands, and pings.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	endpoint := keepaliveEndpoint(t)

	t.Run("flood", func(t *testing.T) {
		t.Parallel()
		c := dialHTTP2(t, endpoint)
		var err error
		// The first ping starts the server's clock. The connection ends at the ping after the forgiven ones; a server
		// that answers a thousand has no such rule.
		for range 1000 {
			if err = c.ping(t.Context()); err != nil {
				break
			}
		}
		var away *goAwayError
		if !errors.As(err, &away) {
			t.Fatalf("a flood of pings ended with %v, want a GOAWAY", err)
		}
		if away.code != http2.ErrCodeEnhanceYourCalm || away.debug != tooManyPings {
			t.Fatalf("%v, want ENHANCE_YOUR_CALM and %q", away, tooManyPings)
		}
		t.Logf("GOAWAY after %d pings", c.answered)
	})

	t.Run("legal", func(t *testing.T) {
		t.Parallel()
		c := dialHTTP2(t, endpoint)
		// Uses up what the server forgives, so that the first legal ping that it took for an early one ends the
		// connection. Without this, a server that allows a ping each five minutes would pass a short test.
		for range 1 + forgivenPings {
			if err := c.ping(t.Context()); err != nil {
				t.Fatalf("an early ping that has to be forgiven: %v", err)
			}
		}
		pings := keepalivePings
		if text := os.Getenv("STRATA_KEEPALIVE_PINGS"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				t.Fatalf("STRATA_KEEPALIVE_PINGS: %v", err)
			}
			pings = n
		}
		for i := range pings {
			if err := c.quiet(pingInterval + pingMargin); err != nil {
				t.Fatalf("before legal ping %d: %v", i+1, err)
			}
			if err := c.ping(t.Context()); err != nil {
				t.Fatalf("legal ping %d: %v", i+1, err)
			}
		}
	})
}

func keepaliveEndpoint(t *testing.T) string {
	t.Helper()
	endpoint, binary := whereToTest(t)
	if endpoint != "" {
		return endpoint
	}
	return startBroker(t, binary, t.TempDir()).endpoint
}

// goAwayError is the GOAWAY frame that ended a connection.
type goAwayError struct {
	code  http2.ErrCode
	debug string
}

func (e *goAwayError) Error() string { return fmt.Sprintf("GOAWAY %s %q", e.code, e.debug) }

// pinger is one HTTP/2 connection without streams.
type pinger struct {
	framer *http2.Framer
	acks   chan [8]byte // answers to our pings

	// ended receives the reason why the connection is over, once. It is put back by whoever reads it.
	ended chan error

	answered int // pings so far
}

func dialHTTP2(t *testing.T, endpoint string) *pinger {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", endpoint)
	if err != nil {
		t.Fatal(err)
	}
	c := &pinger{framer: http2.NewFramer(conn, conn), acks: make(chan [8]byte, 1), ended: make(chan error, 1)}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-c.ended; err == nil { // the reader has gone
			t.Error("a connection ended without a reason")
		}
	})
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	settled := make(chan struct{})
	go c.read(settled)
	select {
	case <-settled:
	case err := <-c.ended:
		c.ended <- err
		t.Fatalf("instead of SETTINGS: %v", err)
	case <-time.After(pingAckLimit):
		t.Fatalf("no SETTINGS within %s", pingAckLimit)
	}
	return c
}

// read is the connection's only reader; it closes settled when the server's SETTINGS have come and are acknowledged.
// From then on it writes nothing but answers to the server's own pings, which this client's pings never overlap with:
// the server of this test sends its first after hours.
func (c *pinger) read(settled chan<- struct{}) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.ended <- err
			return
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				continue
			}
			if err := c.framer.WriteSettingsAck(); err != nil {
				c.ended <- err
				return
			}
			if settled != nil {
				close(settled)
				settled = nil
			}
		case *http2.PingFrame:
			if f.IsAck() {
				c.acks <- f.Data
			} else if err := c.framer.WritePing(true, f.Data); err != nil {
				c.ended <- err
				return
			}
		case *http2.GoAwayFrame:
			c.ended <- &goAwayError{f.ErrCode, string(f.DebugData())}
			return
		}
	}
}

// ping sends one and waits for its answer.
func (c *pinger) ping(ctx context.Context) error {
	data := [8]byte{byte(c.answered), byte(c.answered >> 8), 'p', 'i', 'n', 'g'}
	if err := c.framer.WritePing(false, data); err != nil {
		select {
		case reason := <-c.ended: // more telling than "broken pipe"
			c.ended <- reason
			return reason
		case <-time.After(pingAckLimit):
			return err
		}
	}
	select {
	case got := <-c.acks:
		if got != data {
			return fmt.Errorf("ping %v was answered as %v", data, got)
		}
		c.answered++
		return nil
	case err := <-c.ended:
		c.ended <- err
		return err
	case <-time.After(pingAckLimit):
		return fmt.Errorf("no answer to a ping within %s", pingAckLimit)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// quiet waits for d and fails if the connection ends meanwhile.
func (c *pinger) quiet(d time.Duration) error {
	select {
	case err := <-c.ended:
		c.ended <- err
		return err
	case <-time.After(d):
		return nil
	}
}
