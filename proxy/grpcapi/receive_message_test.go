package grpcapi

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

func sha1Text(body []byte) string {
	sum := sha1.Sum(body)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// TestDeliveryIsWhatTheGeneratedDecoderReads encodes stored messages by hand and decodes them with the
// generated code: every field that a client needs is there, and nothing else.
func TestDeliveryIsWhatTheGeneratedDecoderReads(t *testing.T) {
	stored := message.Message{Topic: "orders", Queue: message.Queue{Topic: 1, ID: 3}, Offset: 7, BornTime: 1_700_000_000_123, StoreTime: 1_700_000_000_456}
	stored.Body = []byte("body")
	for _, p := range [][2]string{
		{message.PropertyMessageID, "01AB"},
		{message.PropertyTag, "t"},
		{message.PropertyKeys, "k1 k2"},
		{message.PropertyBornHost, "h"},
		{message.PropertyTraceContext, "tr"},
		{"color", "blue"},
		{"empty", ""},
		{message.PropertyDeadLetterTopic, "origin"},
		{message.PropertyDeadLetterID, "00FF"},
		{message.PropertyMessageGroup, "hidden"},
	} {
		var err error
		if stored.Properties, err = message.AppendProperty(stored.Properties, p[0], p[1]); err != nil {
			t.Fatal(err)
		}
	}
	handle := storelayer.Handle{Shard: 1, Queue: stored.Queue, Offset: 7, Group: "billing", Attempt: 2}
	f := newFrames(&pb.Resource{ResourceNamespace: "ns", Name: "orders"})
	defer f.free()
	for range 2 { // the second time in used memory
		frame, err := f.delivery(proxy.Received{Handle: handle, Bytes: stored.AppendStored(nil)})
		if err != nil {
			t.Fatal(err)
		}
		got := &pb.ReceiveMessageResponse{}
		if err := proto.Unmarshal(frame.data.ReadOnlyData(), got); err != nil {
			t.Fatal(err)
		}
		frame.data.Free()
		want := &pb.Message{
			Topic:          &pb.Resource{ResourceNamespace: "ns", Name: "orders"},
			UserProperties: map[string]string{"color": "blue", "empty": ""},
			SystemProperties: &pb.SystemProperties{
				Tag: new("t"), Keys: []string{"k1", "k2"}, MessageId: "01AB",
				BodyDigest:   &pb.Digest{Type: pb.DigestType_SHA1, Checksum: sha1Text([]byte("body"))},
				BodyEncoding: pb.Encoding_IDENTITY, MessageType: pb.MessageType_NORMAL,
				BornTimestamp: protoTime(1_700_000_000_123), BornHost: "h", StoreTimestamp: protoTime(1_700_000_000_456),
				ReceiptHandle: new(handle.String()), QueueId: 3, QueueOffset: new(int64(7)), DeliveryAttempt: new(int32(2)),
				TraceContext: new("tr"), DeadLetterQueue: &pb.DeadLetterQueue{Topic: "origin", MessageId: "00FF"},
			},
			Body: []byte("body"),
		}
		if !proto.Equal(got.GetMessage(), want) {
			t.Errorf("got  %v\nwant %v", got.GetMessage(), want)
		}
		if n := len(got.GetMessage().ProtoReflect().GetUnknown()) + len(got.GetMessage().GetSystemProperties().ProtoReflect().GetUnknown()); n != 0 {
			t.Errorf("%d bytes of unknown fields", n)
		}
	}
}

func TestDeliveryOfDamage(t *testing.T) {
	f := newFrames(topicResource(testTopic))
	defer f.free()
	if _, err := f.delivery(proxy.Received{Bytes: []byte("damage")}); !errors.Is(err, message.ErrCorrupt) {
		t.Error(err)
	}
}

// TestBornFieldsAreAlwaysThere sends a message that says nothing of where it comes from.
func TestBornFieldsAreAlwaysThere(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustSend(&pb.Message{Topic: topicResource(testTopic), Body: []byte("x"), SystemProperties: &pb.SystemProperties{MessageId: "1"}})
	p := r.receive(receiveRequest(1)).messages[0].GetSystemProperties()
	if time.Since(p.GetBornTimestamp().AsTime()) > time.Minute || p.GetBornHost() != "127.0.0.1" || p.GetBodyEncoding() != pb.Encoding_IDENTITY {
		t.Errorf("%v", p)
	}
}

// TestJunkOnPublish sends every field that is absent on publish, with nonsense in it, as some clients do.
func TestJunkOnPublish(t *testing.T) {
	r := newRig(t, rigOptions{})
	m := plainMessage("1", "body")
	p := m.GetSystemProperties()
	p.QueueId, p.QueueOffset, p.DeliveryAttempt = 77, new(int64(-1)), new(int32(-1_879_048_192))
	p.ReceiptHandle, p.StoreHost, p.StoreTimestamp = new("junk"), "junk", protoTime(1)
	p.InvisibleDuration, p.DeadLetterQueue = durationpb.New(-1), &pb.DeadLetterQueue{Topic: "junk"}
	p.BodyDigest = &pb.Digest{Type: pb.DigestType_CRC32, Checksum: "WRONG"}
	r.mustSend(m)
	got := r.receive(receiveRequest(1)).messages[0].GetSystemProperties()
	if got.GetQueueId() > 1 || got.GetQueueOffset() != 0 || got.GetDeliveryAttempt() != 1 || got.GetReceiptHandle() == "junk" ||
		got.GetDeadLetterQueue() != nil || got.GetBodyDigest().GetChecksum() != sha1Text([]byte("body")) || got.InvisibleDuration != nil {
		t.Errorf("%v", got)
	}
}

// TestServerChoosesTheQueue sends with one queue id and finds the messages in all queues.
func TestServerChoosesTheQueue(t *testing.T) {
	r := newRig(t, rigOptions{})
	for range 4 {
		r.mustSend(plainMessage("1", "body"))
	}
	req := receiveRequest(32)
	req.MessageQueue.Id = 1 // not looked at either
	queues := map[int32]int{}
	for _, m := range r.receive(req).messages {
		queues[m.GetSystemProperties().GetQueueId()]++
	}
	if queues[0] != 2 || queues[1] != 2 {
		t.Errorf("%v", queues)
	}
}

// TestBatch sends many in one request: in one queue, in their order, one entry each.
func TestBatch(t *testing.T) {
	r := newRig(t, rigOptions{})
	var batch []*pb.Message
	for i := range 20 {
		batch = append(batch, plainMessage(strconv.Itoa(i), "body "+strconv.Itoa(i)))
	}
	resp := r.send(batch...)
	if resp.GetStatus().GetCode() != pb.Code_OK || len(resp.GetEntries()) != 20 {
		t.Fatal(resp)
	}
	for i, e := range resp.GetEntries() {
		if e.GetMessageId() != strconv.Itoa(i) || e.GetTransactionId() != strconv.Itoa(i) || e.GetOffset() != int64(i) || e.GetStatus().GetCode() != pb.Code_OK || e.GetRecallHandle() != "" {
			t.Errorf("entry %d: %v", i, e)
		}
	}
	got := r.receive(receiveRequest(64)) // 32 at most
	if len(got.messages) != 20 {
		t.Fatalf("%d messages", len(got.messages))
	}
	ack := &pb.AckMessageRequest{Group: groupResource(), Topic: topicResource(testTopic)}
	for i, m := range got.messages {
		if string(m.GetBody()) != "body "+strconv.Itoa(i) {
			t.Errorf("message %d: %s", i, m.GetBody())
		}
		ack.Entries = append(ack.Entries, &pb.AckMessageEntry{MessageId: m.GetSystemProperties().GetMessageId(), ReceiptHandle: m.GetSystemProperties().GetReceiptHandle()})
	}
	ack.Entries[5].ReceiptHandle = "nonsense"
	acked, err := r.client.AckMessage(r.as("consumer"), ack)
	if err != nil || acked.GetStatus().GetCode() != pb.Code_MULTIPLE_RESULTS || len(acked.GetEntries()) != 20 {
		t.Fatalf("%v %v", acked, err)
	}
	for i, e := range acked.GetEntries() {
		want := pb.Code_OK
		if i == 5 {
			want = pb.Code_INVALID_RECEIPT_HANDLE
		}
		if e.GetStatus().GetCode() != want || e.GetMessageId() != strconv.Itoa(i) || e.GetReceiptHandle() != ack.GetEntries()[i].GetReceiptHandle() {
			t.Errorf("entry %d: %v", i, e)
		}
	}
}

// TestDeadHandles uses handles that are none in every call that takes one.
func TestDeadHandles(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustSend(plainMessage("1", "body"))
	live := r.receive(receiveRequest(1)).messages[0].GetSystemProperties().GetReceiptHandle()
	other := storelayer.Handle{Shard: 9, Group: "billing"}
	for name, h := range map[string]struct {
		handle string
		group  *pb.Resource
	}{
		"nonsense":         {"nonsense", groupResource()},
		"empty":            {"", groupResource()},
		"cut":              {live[:len(live)-1], groupResource()},
		"another group's":  {live, &pb.Resource{Name: "others"}},
		"of another shard": {other.String(), groupResource()},
	} {
		change, err := r.client.ChangeInvisibleDuration(r.as("c"), &pb.ChangeInvisibleDurationRequest{Group: h.group, Topic: topicResource(testTopic), ReceiptHandle: h.handle})
		if err != nil || change.GetStatus().GetCode() != pb.Code_INVALID_RECEIPT_HANDLE || change.GetReceiptHandle() != h.handle {
			t.Errorf("%s: change: %v %v", name, change, err)
		}
		forward, err := r.client.ForwardMessageToDeadLetterQueue(r.as("c"), &pb.ForwardMessageToDeadLetterQueueRequest{Group: h.group, Topic: topicResource(testTopic), ReceiptHandle: h.handle})
		if err != nil || forward.GetStatus().GetCode() != pb.Code_INVALID_RECEIPT_HANDLE {
			t.Errorf("%s: forward: %v %v", name, forward, err)
		}
		ack, err := r.client.AckMessage(r.as("c"), &pb.AckMessageRequest{Group: h.group, Topic: topicResource(testTopic), Entries: []*pb.AckMessageEntry{{ReceiptHandle: h.handle}}})
		if err != nil || ack.GetStatus().GetCode() != pb.Code_INVALID_RECEIPT_HANDLE || len(ack.GetEntries()) != 1 {
			t.Errorf("%s: ack: %v %v", name, ack, err)
		}
	}
	ack, err := r.client.AckMessage(r.as("c"), &pb.AckMessageRequest{Group: groupResource(), Topic: topicResource(testTopic)})
	if err != nil || ack.GetStatus().GetCode() != pb.Code_BAD_REQUEST || ack.GetStatus().GetMessage() != "no entries to acknowledge" {
		t.Errorf("no entries: %v %v", ack, err)
	}
}

// TestForwardTwice forwards a message to the dead letters, and once more because the answer was lost.
func TestForwardTwice(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.mustSend(plainMessage("1", "body"))
	handle := r.receive(receiveRequest(1)).messages[0].GetSystemProperties().GetReceiptHandle()
	for range 2 {
		resp, err := r.client.ForwardMessageToDeadLetterQueue(r.as("c"), &pb.ForwardMessageToDeadLetterQueueRequest{
			Group: groupResource(), Topic: topicResource(testTopic), ReceiptHandle: handle, MessageId: "1", DeliveryAttempt: 9, MaxDeliveryAttempts: 3,
		})
		if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
			t.Errorf("%v %v", resp, err)
		}
	}
	if n := len(r.shard.Dead()); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// TestTagFilter receives by tags; what does not match is settled for the group.
func TestTagFilter(t *testing.T) {
	r := newRig(t, rigOptions{})
	for _, tag := range []string{"a", "b", "c", "a"} {
		m := plainMessage(tag, tag)
		m.SystemProperties.Tag = &tag
		r.mustSend(m)
	}
	req := receiveRequest(8)
	req.FilterExpression = &pb.FilterExpression{Expression: "a || c"} // of no type
	bodies := map[string]int{}
	for _, m := range r.receive(req).messages {
		bodies[string(m.GetBody())]++
	}
	if len(bodies) != 2 || bodies["a"] != 2 || bodies["c"] != 1 {
		t.Errorf("%v", bodies)
	}
}

// TestLargeBodyAlone sends large bodies among small ones, hot and cold: no answer carries a large one beside another.
func TestLargeBodyAlone(t *testing.T) {
	for _, cold := range []bool{false, true} {
		r := newRig(t, rigOptions{})
		r.single(0)
		sizes := []int{100, 4 << 20, 3<<20 + 1, 200, 300}
		for i, size := range sizes {
			m := plainMessage(strconv.Itoa(i), strings.Repeat("x", size))
			m.Topic = topicResource("single")
			r.mustSend(m)
		}
		if cold {
			r.shard.Trim(r.singleQueue(), message.Offset(len(sizes)))
		}
		req := receiveRequest(32)
		req.MessageQueue.Topic = topicResource("single")
		got := map[string]bool{}
		for range 10 {
			stream, err := r.client.ReceiveMessage(r.as("c"), req, grpc.MaxCallRecvMsgSize(8<<20))
			if err != nil {
				t.Fatal(err)
			}
			frames, err := readReceive(stream)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range frames.messages {
				got[m.GetSystemProperties().GetMessageId()] = true
				if len(m.GetBody()) > 3<<20 && len(frames.messages) > 1 {
					t.Errorf("cold=%v: a body of %d in a batch of %d", cold, len(m.GetBody()), len(frames.messages))
				}
				if m.GetSystemProperties().GetDeliveryAttempt() != 1 {
					t.Errorf("cold=%v: attempt %d", cold, m.GetSystemProperties().GetDeliveryAttempt())
				}
			}
		}
		if len(got) != len(sizes) {
			t.Errorf("cold=%v: got %v", cold, got)
		}
	}
}

// TestCompressedBody sends compressed bodies, in the clothes of gzip and of zlib, and receives them plain.
func TestCompressedBody(t *testing.T) {
	r := newRig(t, rigOptions{})
	plain := bytes.Repeat([]byte("compress me "), 1000)
	bomb := make([]byte, maxInflated+1)
	squeeze := func(w io.WriteCloser, b *bytes.Buffer, body []byte) []byte {
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	gz := func(body []byte) []byte { var b bytes.Buffer; return squeeze(gzip.NewWriter(&b), &b, body) }
	zl := func(body []byte) []byte { var b bytes.Buffer; return squeeze(zlib.NewWriter(&b), &b, body) }
	cut := gz(plain)[:20]
	for name, c := range map[string]struct {
		carried, want []byte
		encoding      pb.Encoding
	}{
		"gzip":     {gz(plain), plain, pb.Encoding_IDENTITY},
		"zlib":     {zl(plain), plain, pb.Encoding_IDENTITY},
		"neither":  {[]byte("plain"), []byte("plain"), pb.Encoding_GZIP},
		"cut":      {cut, cut, pb.Encoding_GZIP},
		"too much": {gz(bomb), gz(bomb), pb.Encoding_GZIP},
	} {
		t.Run(name, func(t *testing.T) {
			m := plainMessage("1", "")
			m.Body, m.SystemProperties.BodyEncoding = c.carried, pb.Encoding_GZIP
			r.mustSend(m)
			got := r.receive(receiveRequest(1)).messages[0]
			p := got.GetSystemProperties()
			if !bytes.Equal(got.GetBody(), c.want) || p.GetBodyEncoding() != c.encoding || p.GetBodyDigest().GetChecksum() != sha1Text(c.want) {
				t.Errorf("%d bytes, %v, digest %v", len(got.GetBody()), p.GetBodyEncoding(), p.GetBodyDigest())
			}
		})
	}
}

// goneStream is the stream of a client that takes some frames and is gone.
type goneStream struct {
	grpc.ServerStream
	takes int
	ctx   context.Context //nolint:containedctx // a stream has a context
}

func (s *goneStream) Context() context.Context { return s.ctx }

func (s *goneStream) SendMsg(v any) error {
	if s.takes == 0 {
		return io.ErrClosedPipe
	}
	s.takes--
	if frame, ok := v.(*rawFrame); ok {
		frame.data.Free()
	}
	return nil
}

func (s *goneStream) Send(m *pb.ReceiveMessageResponse) error { return s.SendMsg(m) }

// TestClientGoneMidway breaks the stream after each number of frames: what was certainly not delivered comes
// again at once with the same attempt, what was written does not.
func TestClientGoneMidway(t *testing.T) {
	for takes, undelivered := range map[int]int{0: 3, 1: 3, 2: 2, 3: 1, 4: 0} {
		r := newRig(t, rigOptions{})
		for i := range 3 {
			r.mustSend(plainMessage(strconv.Itoa(i), "body"))
		}
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(headerClientID, "gone"))
		if err := r.server.ReceiveMessage(receiveRequest(3), &goneStream{takes: takes, ctx: ctx}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after %d frames: %v", takes, err)
		}
		again := r.receive(receiveRequest(3)).messages
		if len(again) != undelivered {
			t.Errorf("after %d frames %d messages come again, want %d", takes, len(again), undelivered)
		}
		for _, m := range again {
			if m.GetSystemProperties().GetDeliveryAttempt() != 1 {
				t.Errorf("after %d frames: attempt %d", takes, m.GetSystemProperties().GetDeliveryAttempt())
			}
		}
	}
}
