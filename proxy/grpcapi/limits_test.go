package grpcapi

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// rawClient is a connection that speaks HTTP/2 frame by frame.
type rawClient struct {
	conn     net.Conn
	framer   *http2.Framer
	settings map[http2.SettingID]uint32
}

// dialRaw connects and reads the server's settings.
func (r *rig) dialRaw() *rawClient {
	r.t.Helper()
	conn, err := new(net.Dialer).DialContext(r.t.Context(), "tcp", r.listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() }) // the server may have closed it first
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		r.t.Fatal(err)
	}
	c := &rawClient{conn: conn, framer: http2.NewFramer(conn, conn), settings: map[http2.SettingID]uint32{}}
	if err := c.framer.WriteSettings(); err != nil {
		r.t.Fatal(err)
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			r.t.Fatal(err)
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			if err := s.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil }); err != nil {
				r.t.Fatal(err)
			}
			return c
		}
	}
}

// ping sends n pings and reads their answers; the error is the connection's, or says that the server has
// had enough.
func (c *rawClient) ping(n int) error {
	for i := range n {
		if err := c.framer.WritePing(false, [8]byte{byte(i)}); err != nil {
			return err
		}
		for answered := false; !answered; {
			frame, err := c.framer.ReadFrame()
			if err != nil {
				return err
			}
			switch f := frame.(type) {
			case *http2.PingFrame:
				answered = f.IsAck()
			case *http2.GoAwayFrame:
				return errors.New("go away: " + f.ErrCode.String() + ": " + string(f.DebugData()))
			}
		}
	}
	return nil
}

// TestConnectionLimits reads what the server says of its limits, and pings without a call under way: a little
// is what C++ does and allowed, a lot is not.
func TestConnectionLimits(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.dialRaw()
	if got := c.settings[http2.SettingMaxConcurrentStreams]; got != 1000 {
		t.Errorf("%d streams", got)
	}
	if got := c.settings[http2.SettingMaxHeaderListSize]; got != 64<<10 {
		t.Errorf("%d bytes of headers", got)
	}
	if err := c.ping(2); err != nil {
		t.Errorf("two pings: %v", err)
	}
	if err := c.ping(10); err == nil {
		t.Error("a flood of pings is endured")
	}
}

// TestHeaderTooLarge sends more than 64 KiB of headers, as frames that no library of ours would let through.
func TestHeaderTooLarge(t *testing.T) {
	r := newRig(t, rigOptions{})
	c := r.dialRaw()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", "/" + pb.ServiceName + "/Heartbeat"},
		{":authority", "x"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"x-big", strings.Repeat("b", 70<<10)},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			t.Fatal(err)
		}
	}
	const chunk = 16 << 10
	rest := block.Bytes()
	if err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: rest[:chunk]}); err != nil {
		t.Fatal(err)
	}
	for rest = rest[chunk:]; len(rest) > 0; {
		n := min(chunk, len(rest))
		if err := c.framer.WriteContinuation(1, n == len(rest), rest[:n]); err != nil {
			return // cut off already
		}
		rest = rest[n:]
	}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return
		case *http2.MetaHeadersFrame:
			t.Errorf("answered: %v", f)
			return
		}
	}
}

// TestStrayHeaders sends headers that nobody here knows, twice, and a credential that nobody asked for.
func TestStrayHeaders(t *testing.T) {
	r := newRig(t, rigOptions{})
	ctx := metadata.AppendToOutgoingContext(r.as("c"), "x-mq-protocol", "v2", "x-mq-protocol", "v2", "x-mq-whatever", "1",
		"x-mq-date-time", "20260817T103921Z", "authorization", "MQv2-HMAC-SHA1 Credential=,, SignedHeaders=x-mq-date-time, Signature=00")
	resp, err := r.client.QueryRoute(ctx, &pb.QueryRouteRequest{Topic: topicResource(testTopic), Endpoints: accessPoint()})
	if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
		t.Errorf("%v %v", resp, err)
	}
}

// TestGoRecoveryHeartbeat sends one without any header and goes on on the same connection.
func TestGoRecoveryHeartbeat(t *testing.T) {
	r := newRig(t, rigOptions{})
	resp, err := r.client.Heartbeat(t.Context(), &pb.HeartbeatRequest{ClientType: pb.ClientType_PRODUCER})
	if err != nil || resp.GetStatus().GetCode() != pb.Code_CLIENT_ID_REQUIRED {
		t.Fatalf("%v %v", resp, err)
	}
	r.mustSend(plainMessage("1", "body"))
}

// TestTLSAndPlaintext makes the same calls over TLS, trusting any certificate as clients do, and in plaintext.
func TestTLSAndPlaintext(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustSend(plainMessage("1", "in the clear"))
	conn, err := grpc.NewClient(r.listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	resp, err := pb.NewMessagingServiceClient(conn).SendMessage(r.as("tls"), &pb.SendMessageRequest{Messages: []*pb.Message{plainMessage("2", "in secret")}})
	if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
		t.Fatalf("%v %v", resp, err)
	}
	if n := len(r.receive(receiveRequest(8)).messages); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// TestUnknownMethod is the one thing that the protocol has no Status for.
func TestUnknownMethod(t *testing.T) {
	r := newRig(t, rigOptions{})
	err := r.conn.Invoke(r.as("c"), "/"+pb.ServiceName+"/Teleport", &pb.HeartbeatRequest{}, &pb.HeartbeatResponse{})
	if status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
}
