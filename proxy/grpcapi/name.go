package grpcapi

import (
	"context"
	"strings"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
)

// Bounds of names with their namespace, in bytes.
const (
	maxTopicLen = meta.MaxTopicNameLen
	maxGroupLen = 120
)

// systemTopics cannot be used by clients; RocketMQ keeps these names to itself.
var systemTopics = map[string]bool{
	"TBW102": true, "SCHEDULE_TOPIC_XXXX": true, "BenchmarkTest": true, "RMQ_SYS_TRANS_HALF_TOPIC": true,
	"RMQ_SYS_TRACE_TOPIC": true, "RMQ_SYS_TRANS_OP_HALF_TOPIC": true, "TRANS_CHECK_MAX_TIME_TOPIC": true,
	"SELF_TEST_TOPIC": true, "OFFSET_MOVED_EVENT": true, "CHECKPOINT_TOPIC": true,
}

// topicName returns the full name of a topic, namespace%name, after checking it.
func topicName(ctx context.Context, r *pb.Resource) (string, error) {
	return fullTopic(ctx, r.GetResourceNamespace(), r.GetName())
}

func fullTopic(ctx context.Context, namespace, name string) (string, error) {
	if strings.TrimSpace(name) == "" {
		return "", refuse(pb.Code_ILLEGAL_TOPIC, "topic is blank")
	}
	full, ok := join(ctx, namespace, name)
	switch {
	case len(full) > maxTopicLen:
		return "", refuse(pb.Code_ILLEGAL_TOPIC, "topic with its namespace is longer than 127 bytes")
	case !ok || !plainName(name):
		return "", refuse(pb.Code_ILLEGAL_TOPIC, "topic has a character other than % | a-z A-Z 0-9 _ -")
	case systemTopics[name] || strings.HasPrefix(name, "rmq_sys_"):
		return "", refuse(pb.Code_ILLEGAL_TOPIC, "topic is one of the system's")
	}
	return full, nil
}

// groupName returns the full name of a consumer group after checking it.
func groupName(ctx context.Context, r *pb.Resource) (string, error) {
	name := r.GetName()
	if strings.TrimSpace(name) == "" {
		return "", refuse(pb.Code_ILLEGAL_CONSUMER_GROUP, "consumer group is blank")
	}
	full, ok := join(ctx, r.GetResourceNamespace(), name)
	switch {
	case len(full) > maxGroupLen:
		return "", refuse(pb.Code_ILLEGAL_CONSUMER_GROUP, "consumer group with its namespace is longer than 120 bytes")
	case !ok || !plainName(name):
		return "", refuse(pb.Code_ILLEGAL_CONSUMER_GROUP, "consumer group has a character other than % | a-z A-Z 0-9 _ -")
	case strings.HasPrefix(name, "CID_RMQ_SYS_"):
		return "", refuse(pb.Code_ILLEGAL_CONSUMER_GROUP, "consumer group is one of the system's")
	}
	return full, nil
}

// join puts a namespace in front of a name: that of the resource, else the header's, for there are
// clients that send it only there. A dead-letter topic keeps its prefix in front: that of group g of
// namespace n is %DLQ%n%g. It reports false if the namespace has a character of its own.
func join(ctx context.Context, namespace, name string) (string, bool) {
	if namespace == "" {
		namespace = header(ctx, headerNamespace)
	}
	if namespace == "" {
		return name, true
	}
	ok := plainName(namespace) && !strings.ContainsAny(namespace, "%|")
	if group, dead := strings.CutPrefix(name, meta.DeadLetterPrefix); dead {
		return meta.DeadLetterTopic(namespace + "%" + group), ok
	}
	return namespace + "%" + name, ok
}

// plainName reports whether a name has no other characters than those that RocketMQ's names have.
func plainName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '%', c == '|', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
