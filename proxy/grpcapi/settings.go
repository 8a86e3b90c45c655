package grpcapi

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
)

// What every client is told besides what is configured. None of them may be zero: there are clients that
// stop at each of them.
const (
	receiveBatchSize      = proxy.MaxReceive
	liteSubscriptionQuota = 2000
	maxLiteTopicSize      = 64
	producerAttempts      = 3
	producerBackoffFirst  = 10 * time.Millisecond
	producerBackoffMax    = time.Second
	backoffMultiplier     = 2
)

// producerSettings answers a producer. Its back-off must be exponential: with another kind Java does not
// start and Node's process dies.
func (s *Server) producerSettings(asked *pb.Settings) *pb.Settings {
	out := echo(asked)
	out.BackoffPolicy = &pb.RetryPolicy{
		MaxAttempts: producerAttempts,
		Strategy:    exponential(producerBackoffFirst, producerBackoffMax),
	}
	out.PubSub = &pb.Settings_Publishing{Publishing: &pb.Publishing{
		Topics:              asked.GetPublishing().GetTopics(),
		MaxBodySize:         int32(s.config.MaxBodySize),
		ValidateMessageType: true,
	}}
	return out
}

// consumerSettings answers a consumer. The oneof has room for one back-off: customized, which Python
// needs and the others take, but for Node, which honors only an exponential one.
func (s *Server) consumerSettings(asked *pb.Settings, group *meta.Group, client proxy.Client) *pb.Settings {
	out := echo(asked)
	out.BackoffPolicy = &pb.RetryPolicy{MaxAttempts: int32(group.MaxAttempts)}
	if client.Language == languageNode {
		out.BackoffPolicy.Strategy = exponential(group.Delay(1), group.Delay(len(group.Backoff)))
	} else {
		out.BackoffPolicy.Strategy = customized(group)
	}
	fifo, batch, quota, size := false, int32(receiveBatchSize), int32(liteSubscriptionQuota), int32(maxLiteTopicSize)
	out.PubSub = &pb.Settings_Subscription{Subscription: &pb.Subscription{
		Group:                 asked.GetSubscription().GetGroup(),
		Subscriptions:         asked.GetSubscription().GetSubscriptions(),
		Fifo:                  &fifo,
		ReceiveBatchSize:      &batch,
		LongPollingTimeout:    durationpb.New(s.config.LongPolling),
		LiteSubscriptionQuota: &quota,
		MaxLiteTopicSize:      &size,
	}}
	return out
}

// languageNode is the language of the Node.js client in its settings. Its header says HTTP.
var languageNode = pb.Language_NODE_JS.String()

// echo returns the fields that a client hears back as it said them, names with their namespace included:
// the C++ client adopts the one that it reads here.
func echo(asked *pb.Settings) *pb.Settings {
	return &pb.Settings{
		ClientType:       asked.ClientType,
		AccessPoint:      asked.GetAccessPoint(),
		RequestTimeout:   asked.GetRequestTimeout(),
		UserAgent:        asked.GetUserAgent(),
		ClientProperties: asked.GetClientProperties(),
		Metric:           &pb.Metric{On: false},
	}
}

func exponential(first, longest time.Duration) *pb.RetryPolicy_ExponentialBackoff {
	return &pb.RetryPolicy_ExponentialBackoff{ExponentialBackoff: &pb.ExponentialBackoff{
		Initial:    durationpb.New(first),
		Max:        durationpb.New(longest),
		Multiplier: backoffMultiplier,
	}}
}

// customized returns a group's delays, never an empty list: there are clients that index it blindly.
func customized(group *meta.Group) *pb.RetryPolicy_CustomizedBackoff {
	out := &pb.CustomizedBackoff{}
	for attempt := 1; attempt <= max(len(group.Backoff), 1); attempt++ {
		out.Next = append(out.Next, durationpb.New(group.Delay(attempt)))
	}
	return &pb.RetryPolicy_CustomizedBackoff{CustomizedBackoff: out}
}

// Bounds of a client's properties.
const (
	maxClientProperties     = 32
	maxClientPropertyKey    = 64   // characters
	maxClientPropertyValue  = 256  // characters
	maxClientPropertiesSize = 4096 // bytes of keys and values
)

// checkClientProperties checks what a client wants shown of itself.
func checkClientProperties(properties map[string]string) error {
	if len(properties) > maxClientProperties {
		return refuse(pb.Code_INVALID_CLIENT_PROPERTIES, "more than 32 client properties")
	}
	size := 0
	for key, value := range properties {
		size += len(key) + len(value)
		switch {
		case !clientPropertyKey(key):
			return refuse(pb.Code_INVALID_CLIENT_PROPERTIES, "client property key is not a letter followed by up to 63 of a-z A-Z 0-9 _ . -")
		case strings.HasPrefix(key, "rocketmq."):
			return refuse(pb.Code_INVALID_CLIENT_PROPERTIES, "client property key begins with rocketmq.")
		case utf8.RuneCountInString(value) > maxClientPropertyValue:
			return refuse(pb.Code_INVALID_CLIENT_PROPERTIES, "client property value is longer than 256 characters")
		}
	}
	if size > maxClientPropertiesSize {
		return refuse(pb.Code_INVALID_CLIENT_PROPERTIES, "client properties are larger than 4096 bytes")
	}
	return nil
}

func clientPropertyKey(key string) bool {
	if key == "" || len(key) > maxClientPropertyKey {
		return false
	}
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return true
}
