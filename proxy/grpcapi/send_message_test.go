package grpcapi

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

func protoTime(ms int64) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(ms)) }

// TestSendAnswerIsWhatTheGeneratedDecoderReads encodes answers by hand and compares them, byte by byte, with
// the generated encoder.
func TestSendAnswerIsWhatTheGeneratedDecoderReads(t *testing.T) {
	for name, c := range map[string]struct {
		ids     []string
		offsets []int64
		err     error
	}{
		"one":          {[]string{"01AB"}, []int64{5}, nil},
		"at offset 0":  {[]string{"01AB"}, []int64{0}, nil},
		"many":         {strings.Split(strings.Repeat("0123456789ABCDEF0123456789ABCDEF01 ", 200)+"x", " "), make([]int64, 201), nil},
		"a long id":    {[]string{strings.Repeat("i", 256)}, []int64{1 << 40}, nil},
		"refused":      {[]string{"01AB"}, nil, refuse(pb.Code_ILLEGAL_TOPIC, "no")},
		"unknown":      {[]string{"01AB", "02AB"}, nil, storelayer.ErrUnknown},
		"a long error": {nil, nil, refuse(pb.Code_BAD_REQUEST, strings.Repeat("why ", 100))},
	} {
		t.Run(name, func(t *testing.T) {
			call := &sendCall{}
			for _, id := range c.ids {
				call.request.Messages = append(call.request.Messages, SendMessage{MessageID: []byte(id)})
			}
			var appended []storelayer.Appended
			status := statusOf(c.err)
			want := &pb.SendMessageResponse{Status: status}
			for i, id := range c.ids {
				e := &pb.SendResultEntry{Status: status, MessageId: id, TransactionId: id}
				if c.offsets != nil {
					appended = append(appended, storelayer.Appended{Offset: message.Offset(c.offsets[i])})
					e.Offset = c.offsets[i]
				}
				if c.offsets != nil || status.GetCode() == pb.Code_MASTER_PERSISTENCE_TIMEOUT {
					want.Entries = append(want.Entries, e)
				}
			}
			got := sendAnswer(call, appended, c.err)
			encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.ReadOnlyData(), encoded) {
				t.Errorf("got  %x\nwant %x", got.ReadOnlyData(), encoded)
			}
		})
	}
}

// TestShardErrorsOfASend makes the shard fail in each way.
func TestShardErrorsOfASend(t *testing.T) {
	r := newRig(t, rigOptions{})
	for name, c := range map[string]struct {
		err     error
		code    pb.Code
		entries int
	}{
		"overloaded":     {storelayer.ErrOverloaded, pb.Code_TOO_MANY_REQUESTS, 0},
		"disk mark":      {storelayer.ErrDiskMark, pb.Code_TOO_MANY_REQUESTS, 0},
		"unknown":        {fmt.Errorf("%w: %w", storelayer.ErrFenced, storelayer.ErrUnknown), pb.Code_MASTER_PERSISTENCE_TIMEOUT, 1},
		"fenced":         {storelayer.ErrFenced, pb.Code_HA_NOT_AVAILABLE, 0},
		"not replicated": {storelayer.ErrNotReplicated, pb.Code_UNSUPPORTED, 0},
	} {
		r.shard.Fail("Append", c.err)
		resp := r.send(plainMessage("01AB", "body"))
		if resp.GetStatus().GetCode() != c.code || len(resp.GetEntries()) != c.entries || resp.GetStatus().GetMessage() != c.err.Error() {
			t.Errorf("%s: %v", name, resp)
		}
		for _, e := range resp.GetEntries() {
			if e.GetStatus().GetCode() != c.code || e.GetMessageId() != "01AB" {
				t.Errorf("%s: entry %v", name, e)
			}
		}
	}
}

// TestOverload fills the budget for request bytes: a send is refused before it is looked at, inside the
// answer, and the next one finds room again.
func TestOverload(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.server.inFlight.used.Store(r.server.config.MaxInFlightBytes - 10)
	resp := r.send(plainMessage("1", "body"))
	if s := resp.GetStatus(); s.GetCode() != pb.Code_TOO_MANY_REQUESTS || s.GetMessage() != "too many bytes of requests are being served" || r.shard.Count() != 0 {
		t.Errorf("%v", resp)
	}
	if got := r.server.inFlight.used.Load(); got != r.server.config.MaxInFlightBytes-10 {
		t.Errorf("a refused request is counted: %d", got)
	}
	r.server.inFlight.used.Store(0)
	r.mustSend(plainMessage("1", "body"))
	if got := r.server.inFlight.used.Load(); got != 0 {
		t.Errorf("%d bytes are still counted", got)
	}
}

// TestLargeRequestsOfOtherCalls are cut off: nothing but a send has a reason to be large.
func TestLargeRequestsOfOtherCalls(t *testing.T) {
	r := newRig(t, rigOptions{})
	_, err := r.client.AckMessage(r.as("c"), &pb.AckMessageRequest{Topic: topicResource(strings.Repeat("t", maxSmallRequestBytes))})
	if err == nil {
		t.Error("accepted")
	}
	if s := r.send(plainMessage("1", strings.Repeat("x", 5<<20))).GetStatus(); s.GetCode() != pb.Code_MESSAGE_BODY_TOO_LARGE {
		t.Errorf("%v", s)
	}
	if _, err := r.client.SendMessage(r.as("c"), &pb.SendMessageRequest{Messages: []*pb.Message{plainMessage("1", strings.Repeat("x", 17<<20))}}); err == nil {
		t.Error("a request above 16 MiB was accepted")
	}
}

// TestMalformedSend sends bytes that are no request.
func TestMalformedSend(t *testing.T) {
	r := newRig(t, rigOptions{})
	in := &rawBytes{[]byte{0x0a, 0xff}}
	out := &rawBytes{}
	if err := r.conn.Invoke(r.as("c"), "/"+pb.ServiceName+"/SendMessage", in, out, rawCall()); err != nil {
		t.Fatal(err)
	}
	got := &pb.SendMessageResponse{}
	if err := proto.Unmarshal(out.data, got); err != nil || got.GetStatus().GetCode() != pb.Code_BAD_REQUEST || got.GetStatus().GetMessage() != "request is malformed" {
		t.Errorf("%v %v", got, err)
	}
}

// TestSendsSideBySide sends from many callers at once; with the race detector it shows that no call's
// memory is used by another.
func TestSendsSideBySide(t *testing.T) {
	r := newRig(t, rigOptions{})
	const callers, each = 8, 50
	errs := make(chan error, callers)
	for i := range callers {
		go func() {
			for j := range each {
				id := fmt.Sprintf("%d-%d", i, j)
				resp, err := r.client.SendMessage(r.as("p"), &pb.SendMessageRequest{Messages: []*pb.Message{plainMessage(id, "body "+id)}})
				if err != nil || resp.GetStatus().GetCode() != pb.Code_OK || resp.GetEntries()[0].GetMessageId() != id {
					errs <- fmt.Errorf("%s: %v %w", id, resp, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for len(seen) < callers*each {
		got := r.receive(receiveRequest(32))
		if len(got.messages) == 0 {
			break
		}
		for _, m := range got.messages {
			id := m.GetSystemProperties().GetMessageId()
			if string(m.GetBody()) != "body "+id || seen[id] {
				t.Errorf("%s: %s, again %v", id, m.GetBody(), seen[id])
			}
			seen[id] = true
		}
	}
	if len(seen) != callers*each {
		t.Errorf("%d messages", len(seen))
	}
}

// BenchmarkSendMessage is a send behind the transport.
func BenchmarkSendMessage(b *testing.B) {
	src := benchmarkRequest(b, 1<<10, 1)
	call := &sendCall{}
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	s := &Server{config: DefaultConfig()}
	for b.Loop() {
		if err := call.request.Scan(src); err != nil {
			b.Fatal(err)
		}
		if err := s.checkMessage(&call.request.Messages[0]); err != nil {
			b.Fatal(err)
		}
		call.messages, call.properties = call.messages[:0], call.properties[:0]
		if err := call.build(benchTopic, peerAddress(context.Background()), time.Now()); err != nil {
			b.Fatal(err)
		}
		sendAnswer(call, []storelayer.Appended{{Offset: 1}}, nil).Free()
	}
}
