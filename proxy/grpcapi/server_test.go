package grpcapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/proxy/internal/shardfake"
	"github.com/stratamq/stratamq/proxy/listen"
	"github.com/stratamq/stratamq/storelayer"
)

// rig is a server over a shard in memory, and a client of it.
type rig struct {
	t         *testing.T
	shard     *shardfake.Shard
	directory *shardfake.Directory
	history   *fakeHistory
	proxy     *proxy.Proxy
	server    *Server
	listener  net.Listener
	client    pb.MessagingServiceClient
	conn      *grpc.ClientConn
}

// rigOptions change what a rig is made of.
type rigOptions struct {
	config   func(*Config)
	proxy    func(*proxy.Config)
	shard    storelayer.Shard // instead of the one in memory
	listener net.Listener
	dial     func(context.Context, string) (net.Conn, error)
}

const testTopic = "orders"

func newRig(t *testing.T, options rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, shard: shardfake.New(1), directory: shardfake.NewDirectory(testTopic)}
	r.history = &fakeHistory{shard: r.shard}
	log := slog.New(slog.DiscardHandler)
	proxyConfig, config := proxy.DefaultConfig(), DefaultConfig()
	if options.proxy != nil {
		options.proxy(&proxyConfig)
	}
	if options.config != nil {
		options.config(&config)
	}
	registry := prometheus.NewRegistry()
	var err error
	var shard storelayer.Shard = r.shard
	if options.shard != nil {
		shard = options.shard
	}
	r.proxy, err = proxy.New(proxyConfig, r.directory, []storelayer.Shard{shard}, r.history,
		proxy.NewMetrics(registry, proxyConfig.MetricTopics, log), log)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := listen.SelfSigned(t.TempDir(), nil, log)
	if err != nil {
		t.Fatal(err)
	}
	r.server, err = New(config, r.proxy, listen.Credentials(cert), NewMetrics(registry), log)
	if err != nil {
		t.Fatal(err)
	}
	r.listener = options.listener
	if r.listener == nil {
		if r.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ctx, r.listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	dial := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	target := r.listener.Addr().String()
	if options.dial != nil {
		dial = append(dial, grpc.WithContextDialer(options.dial))
		target = "passthrough:///test"
	}
	if r.conn, err = grpc.NewClient(target, dial...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.conn.Close(); err != nil {
			t.Error(err)
		}
	})
	r.client = pb.NewMessagingServiceClient(r.conn)
	return r
}

// as is the context of a call by a client.
func (r *rig) as(client string) context.Context {
	return metadata.AppendToOutgoingContext(r.t.Context(), headerClientID, client, headerLanguage, "GO")
}

func topicResource(name string) *pb.Resource { return &pb.Resource{Name: name} }

func groupResource() *pb.Resource { return &pb.Resource{Name: "billing"} }

// plainMessage is a message as every client sends it.
func plainMessage(id, body string) *pb.Message {
	return &pb.Message{
		Topic:          topicResource(testTopic),
		UserProperties: map[string]string{"color": "blue", "city": "杭州"},
		SystemProperties: &pb.SystemProperties{
			Tag:           new("created"),
			Keys:          []string{"k1", "k2"},
			MessageId:     id,
			BodyEncoding:  pb.Encoding_IDENTITY,
			MessageType:   pb.MessageType_NORMAL,
			BornTimestamp: timestamppb.New(time.UnixMilli(1_700_000_000_123)),
			BornHost:      "laptop",
			TraceContext:  new("00-trace"),
		},
		Body: []byte(body),
	}
}

func (r *rig) send(messages ...*pb.Message) *pb.SendMessageResponse {
	r.t.Helper()
	resp, err := r.client.SendMessage(r.as("producer"), &pb.SendMessageRequest{Messages: messages})
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func (r *rig) mustSend(messages ...*pb.Message) {
	r.t.Helper()
	if resp := r.send(messages...); resp.GetStatus().GetCode() != pb.Code_OK {
		r.t.Fatalf("send: %v", resp.GetStatus())
	}
}

// answerFrames is a receive as a client sees it.
type answerFrames struct {
	status    *pb.Status
	messages  []*pb.Message
	delivered *timestamppb.Timestamp
}

// readReceive reads a receive's frames and checks their order.
func readReceive(stream grpc.ServerStreamingClient[pb.ReceiveMessageResponse]) (answerFrames, error) {
	var out answerFrames
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		switch c := frame.GetContent().(type) {
		case *pb.ReceiveMessageResponse_Status:
			if out.status != nil || len(out.messages) > 0 || out.delivered != nil {
				return out, errors.New("status is not the first frame")
			}
			out.status = c.Status
		case *pb.ReceiveMessageResponse_Message:
			if out.status == nil || out.delivered != nil {
				return out, errors.New("message is not in the middle")
			}
			out.messages = append(out.messages, c.Message)
		case *pb.ReceiveMessageResponse_DeliveryTimestamp:
			if out.status == nil || out.delivered != nil {
				return out, errors.New("delivery timestamp is not the last frame")
			}
			out.delivered = c.DeliveryTimestamp
		default:
			return out, errors.New("frame without content")
		}
	}
}

func receiveRequest(batch int32) *pb.ReceiveMessageRequest {
	return &pb.ReceiveMessageRequest{
		Group:              groupResource(),
		MessageQueue:       &pb.MessageQueue{Topic: topicResource(testTopic)},
		BatchSize:          batch,
		InvisibleDuration:  durationpb.New(30 * time.Second),
		LongPollingTimeout: durationpb.New(0),
	}
}

func (r *rig) receive(req *pb.ReceiveMessageRequest) answerFrames {
	r.t.Helper()
	stream, err := r.client.ReceiveMessage(r.as("consumer"), req)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := readReceive(stream)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func TestSendReceiveAck(t *testing.T) {
	r := newRig(t, rigOptions{})
	sent := plainMessage("01AB", "hello 你好")
	resp := r.send(sent)
	if resp.GetStatus().GetCode() != pb.Code_OK || len(resp.GetEntries()) != 1 {
		t.Fatalf("send: %v", resp)
	}
	entry := resp.GetEntries()[0]
	if entry.GetStatus().GetCode() != pb.Code_OK || entry.GetMessageId() != "01AB" || entry.GetTransactionId() != "01AB" {
		t.Errorf("entry: %v", entry)
	}
	got := r.receive(receiveRequest(8))
	if got.status.GetCode() != pb.Code_OK || len(got.messages) != 1 || got.delivered == nil {
		t.Fatalf("receive: %+v", got)
	}
	m, p := got.messages[0], got.messages[0].GetSystemProperties()
	if string(m.GetBody()) != "hello 你好" || m.GetTopic().GetName() != testTopic || len(m.GetUserProperties()) != 2 || m.GetUserProperties()["city"] != "杭州" {
		t.Errorf("message: %v", m)
	}
	if p.GetTag() != "created" || len(p.GetKeys()) != 2 || p.GetMessageId() != "01AB" || p.GetBornHost() != "laptop" ||
		p.GetTraceContext() != "00-trace" || p.GetDeliveryAttempt() != 1 || p.GetReceiptHandle() == "" || p.QueueOffset == nil ||
		p.GetMessageType() != pb.MessageType_NORMAL || p.GetBodyEncoding() != pb.Encoding_IDENTITY ||
		p.GetBornTimestamp().AsTime().UnixMilli() != 1_700_000_000_123 || p.GetStoreTimestamp() == nil || p.GetStoreHost() != "127.0.0.1:10911" {
		t.Errorf("system properties: %v", p)
	}
	ack := &pb.AckMessageRequest{Group: groupResource(), Topic: topicResource(testTopic), Entries: []*pb.AckMessageEntry{
		{MessageId: "01AB", ReceiptHandle: p.GetReceiptHandle()},
	}}
	for range 2 { // acking a settled message is OK
		acked, err := r.client.AckMessage(r.as("consumer"), ack)
		if err != nil || acked.GetStatus().GetCode() != pb.Code_OK || len(acked.GetEntries()) != 1 {
			t.Fatalf("ack: %v %v", acked, err)
		}
	}
	if got := r.receive(receiveRequest(8)); got.status.GetCode() != pb.Code_MESSAGE_NOT_FOUND || got.delivered == nil {
		t.Errorf("receive after ack: %+v", got)
	}
}
