package grpcapi

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
)

// telemetry sends settings on a new stream and returns the answer; it leaves the stream open.
func (r *rig) telemetry(ctx context.Context, settings *pb.Settings) *pb.TelemetryCommand {
	r.t.Helper()
	stream, err := r.client.Telemetry(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := stream.Send(&pb.TelemetryCommand{Command: &pb.TelemetryCommand_Settings{Settings: settings}}); err != nil {
		r.t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		r.t.Fatal(err)
	}
	return answer
}

func accessPoint() *pb.Endpoints {
	return &pb.Endpoints{Scheme: pb.AddressScheme_IPv4, Addresses: []*pb.Address{{Host: "127.0.0.1", Port: 8081}}}
}

func consumerSettings(kind pb.ClientType, language pb.Language) *pb.Settings {
	return &pb.Settings{
		ClientType:     kind.Enum(),
		AccessPoint:    accessPoint(),
		RequestTimeout: durationpb.New(3 * time.Second),
		UserAgent:      &pb.UA{Language: language, Version: "5.1.4", Hostname: "h"},
		PubSub: &pb.Settings_Subscription{Subscription: &pb.Subscription{
			Group:         groupResource(),
			Subscriptions: []*pb.SubscriptionEntry{{Topic: topicResource(testTopic), Expression: &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"}}},
		}},
		ClientProperties: map[string]string{"team": "billing"},
	}
}

func producerSettings(language pb.Language) *pb.Settings {
	return &pb.Settings{
		ClientType:     pb.ClientType_PRODUCER.Enum(),
		AccessPoint:    accessPoint(),
		RequestTimeout: durationpb.New(3 * time.Second),
		UserAgent:      &pb.UA{Language: language, Version: "5.1.4"},
		PubSub: &pb.Settings_Publishing{Publishing: &pb.Publishing{
			Topics: []*pb.Resource{{ResourceNamespace: "ns", Name: testTopic}}, MaxBodySize: 7,
		}},
	}
}

var languages = []pb.Language{
	pb.Language_JAVA, pb.Language_CPP, pb.Language_DOT_NET, pb.Language_GOLANG, pb.Language_RUST, pb.Language_PYTHON, pb.Language_NODE_JS,
}

func TestProducerSettings(t *testing.T) {
	r := newRig(t, rigOptions{})
	for _, language := range languages {
		t.Run(language.String(), func(t *testing.T) {
			asked := producerSettings(language)
			answer := r.telemetry(r.as("p"+language.String()), asked)
			got := answer.GetSettings()
			if answer.GetStatus().GetCode() != pb.Code_OK {
				t.Fatalf("status %v", answer.GetStatus())
			}
			backoff := got.GetBackoffPolicy().GetExponentialBackoff()
			if got.GetBackoffPolicy().GetMaxAttempts() != 3 || backoff.GetInitial().AsDuration() != 10*time.Millisecond ||
				backoff.GetMax().AsDuration() != time.Second || backoff.GetMultiplier() != 2 {
				t.Errorf("back-off %v", got.GetBackoffPolicy())
			}
			publishing := got.GetPublishing()
			if publishing.GetMaxBodySize() != 4<<20 || !publishing.GetValidateMessageType() ||
				!proto.Equal(publishing.GetTopics()[0], asked.GetPublishing().GetTopics()[0]) {
				t.Errorf("publishing %v", publishing)
			}
			checkEcho(t, got, asked)
		})
	}
}

func TestConsumerSettings(t *testing.T) {
	r := newRig(t, rigOptions{config: func(c *Config) { c.LongPolling = 15 * time.Second }})
	for _, language := range languages {
		for _, kind := range []pb.ClientType{pb.ClientType_PUSH_CONSUMER, pb.ClientType_SIMPLE_CONSUMER, pb.ClientType_LITE_PUSH_CONSUMER} {
			t.Run(language.String()+"/"+kind.String(), func(t *testing.T) {
				asked := consumerSettings(kind, language)
				answer := r.telemetry(r.as("c"), asked)
				got := answer.GetSettings()
				if answer.GetStatus().GetCode() != pb.Code_OK {
					t.Fatalf("status %v", answer.GetStatus())
				}
				s := got.GetSubscription()
				if s.Fifo == nil || s.GetFifo() || s.GetReceiveBatchSize() != 32 || s.GetLongPollingTimeout().AsDuration() != 15*time.Second ||
					s.GetLiteSubscriptionQuota() != 2000 || s.GetMaxLiteTopicSize() != 64 ||
					!proto.Equal(s.GetGroup(), groupResource()) || len(s.GetSubscriptions()) != 1 {
					t.Errorf("subscription %v", s)
				}
				policy := got.GetBackoffPolicy()
				if policy.GetMaxAttempts() != 17 {
					t.Errorf("%d attempts", policy.GetMaxAttempts())
				}
				if language == pb.Language_NODE_JS {
					e := policy.GetExponentialBackoff()
					if e.GetInitial().AsDuration() != time.Second || e.GetMax().AsDuration() != 2*time.Hour || e.GetMultiplier() != 2 {
						t.Errorf("back-off %v", policy)
					}
				} else if next := policy.GetCustomizedBackoff().GetNext(); len(next) != 18 || next[0].AsDuration() != time.Second || next[17].AsDuration() != 2*time.Hour {
					t.Errorf("back-off %v", policy)
				}
				checkEcho(t, got, asked)
			})
		}
	}
	client, ok := r.proxy.Sessions().Get("c")
	if !ok || client.Kind != proxy.PushConsumer || client.Language != "NODE_JS" || client.Group != "billing" || client.Protocol != "grpc" {
		t.Errorf("session %+v", client)
	}
}

// TestGroupWithoutDelays still has a list: there are clients that index it blindly.
func TestGroupWithoutDelays(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.directory.PutGroup(meta.Group{Name: "billing", MaxAttempts: 1, From: meta.FromAuto})
	policy := r.telemetry(r.as("c"), consumerSettings(pb.ClientType_PUSH_CONSUMER, pb.Language_RUST)).GetSettings().GetBackoffPolicy()
	if len(policy.GetCustomizedBackoff().GetNext()) != 1 || policy.GetMaxAttempts() != 1 {
		t.Errorf("%v", policy)
	}
}

func checkEcho(t *testing.T, got, asked *pb.Settings) {
	t.Helper()
	if got.GetClientType() != asked.GetClientType() || !proto.Equal(got.GetAccessPoint(), asked.GetAccessPoint()) ||
		!proto.Equal(got.GetRequestTimeout(), asked.GetRequestTimeout()) || !proto.Equal(got.GetUserAgent(), asked.GetUserAgent()) ||
		len(got.GetClientProperties()) != len(asked.GetClientProperties()) || got.GetMetric() == nil || got.GetMetric().GetOn() {
		t.Errorf("echo %v", got)
	}
}

// TestSettingsRefused is refused inside the stream, with a command in the frame, and the stream goes on.
func TestSettingsRefused(t *testing.T) {
	r := newRig(t, rigOptions{proxy: func(c *proxy.Config) { c.AutoCreateGroups = false }})
	withProperties := func(p map[string]string) *pb.Settings {
		s := producerSettings(pb.Language_JAVA)
		s.ClientProperties = p
		return s
	}
	many := properties(33, 1)
	for name, c := range map[string]struct {
		client   string
		settings *pb.Settings
		code     pb.Code
		text     string
	}{
		"no client id":      {"", producerSettings(pb.Language_JAVA), pb.Code_CLIENT_ID_REQUIRED, "header x-mq-client-id is missing"},
		"no pub_sub":        {"c", &pb.Settings{ClientType: pb.ClientType_PRODUCER.Enum()}, pb.Code_UNRECOGNIZED_CLIENT_TYPE, "settings are neither a producer's publishing nor a consumer's subscription"},
		"no client type":    {"c", &pb.Settings{PubSub: producerSettings(0).PubSub}, pb.Code_UNRECOGNIZED_CLIENT_TYPE, "settings are neither a producer's publishing nor a consumer's subscription"},
		"unknown type":      {"c", &pb.Settings{ClientType: pb.ClientType(77).Enum(), PubSub: producerSettings(0).PubSub}, pb.Code_UNRECOGNIZED_CLIENT_TYPE, "settings are neither a producer's publishing nor a consumer's subscription"},
		"unknown group":     {"c", consumerSettings(pb.ClientType_PUSH_CONSUMER, pb.Language_GOLANG), pb.Code_CONSUMER_GROUP_NOT_FOUND, "consumer group not found: billing"},
		"33 properties":     {"c", withProperties(many), pb.Code_INVALID_CLIENT_PROPERTIES, "more than 32 client properties"},
		"a reserved prefix": {"c", withProperties(map[string]string{"rocketmq.x": ""}), pb.Code_INVALID_CLIENT_PROPERTIES, "client property key begins with rocketmq."},
		"a digit first":     {"c", withProperties(map[string]string{"1x": ""}), pb.Code_INVALID_CLIENT_PROPERTIES, "client property key is not a letter followed by up to 63 of a-z A-Z 0-9 _ . -"},
		"a key of 65":       {"c", withProperties(map[string]string{strings.Repeat("k", 65): ""}), pb.Code_INVALID_CLIENT_PROPERTIES, "client property key is not a letter followed by up to 63 of a-z A-Z 0-9 _ . -"},
		"a value of 257":    {"c", withProperties(map[string]string{"k": strings.Repeat("值", 257)}), pb.Code_INVALID_CLIENT_PROPERTIES, "client property value is longer than 256 characters"},
		"too large":         {"c", withProperties(properties(20, 250)), pb.Code_INVALID_CLIENT_PROPERTIES, "client properties are larger than 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if c.client != "" {
				ctx = r.as(c.client)
			}
			stream, err := r.client.Telemetry(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := stream.Send(&pb.TelemetryCommand{Command: &pb.TelemetryCommand_Settings{Settings: c.settings}}); err != nil {
					t.Fatal(err)
				}
				answer, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if s := answer.GetStatus(); s.GetCode() != c.code || s.GetMessage() != c.text || answer.GetSettings() == nil {
					t.Errorf("%v", answer)
				}
			}
		})
	}
}

// TestTelemetryStream opens a stream as each client does: without a word, half-closed at once, with answers
// that nobody asked for, and twice.
func TestTelemetryStream(t *testing.T) {
	r := newRig(t, rigOptions{})
	silent, err := r.client.Telemetry(r.as("rust"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Header(); err != nil { // comes although nothing was said
		t.Fatal(err)
	}
	half, err := r.client.Telemetry(r.as("rust"))
	if err != nil {
		t.Fatal(err)
	}
	if err := half.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := half.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("half-closed: %v", err)
	}
	stray := []*pb.TelemetryCommand{
		{},
		{Command: &pb.TelemetryCommand_ThreadStackTrace{ThreadStackTrace: &pb.ThreadStackTrace{Nonce: "n"}}},
		{Command: &pb.TelemetryCommand_VerifyMessageResult{VerifyMessageResult: &pb.VerifyMessageResult{Nonce: "n"}}},
	}
	for _, command := range stray {
		if err := silent.Send(command); err != nil {
			t.Fatal(err)
		}
	}
	settings := consumerSettings(pb.ClientType_SIMPLE_CONSUMER, pb.Language_RUST)
	for range 3 { // one answer for each
		if err := silent.Send(&pb.TelemetryCommand{Command: &pb.TelemetryCommand_Settings{Settings: settings}}); err != nil {
			t.Fatal(err)
		}
		if answer, err := silent.Recv(); err != nil || answer.GetStatus().GetCode() != pb.Code_OK {
			t.Fatalf("%v %v", answer, err)
		}
	}
}

// TestServedWithoutTelemetry sends, receives and acknowledges as a client whose stream has ended, or that
// never had one.
func TestServedWithoutTelemetry(t *testing.T) {
	r := newRig(t, rigOptions{})
	stream, err := r.client.Telemetry(r.as("consumer"))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.TelemetryCommand{Command: &pb.TelemetryCommand_Settings{Settings: consumerSettings(pb.ClientType_PUSH_CONSUMER, pb.Language_PYTHON)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if _, ok := r.proxy.Sessions().Get("consumer"); !ok {
		t.Error("the settings went with the stream")
	}
	for _, client := range []string{"consumer", "never-seen"} {
		r.mustSend(plainMessage("1", "a"))
		stream, err := r.client.ReceiveMessage(r.as(client), receiveRequest(1))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readReceive(stream)
		if err != nil || len(got.messages) != 1 {
			t.Fatalf("%s: %+v %v", client, got, err)
		}
		r.ackCode(got.messages[0], pb.Code_OK)
	}
}
