package meta

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stratamq/stratamq/message"
)

// MaxQueues bounds the queues of a topic.
const MaxQueues = 65_536

// MaxTopicNameLen bounds a topic name with its namespace, in bytes; the system topics of a group
// have a longer prefix on top of it.
const MaxTopicNameLen = 127

// DeadLetterPrefix begins the name of the topic that takes a group's dead letters.
const DeadLetterPrefix = "%DLQ%"

// AckMode says when a topic's producer is answered.
type AckMode string

// The ack modes.
const (
	AckDurable    AckMode = "durable"    // after the sync on every in-sync replica
	AckReplicated AckMode = "replicated" // in the memory of every in-sync replica
	AckLocal      AckMode = "local"      // in the page cache of the leader
)

// MessageType says what kind of messages a topic takes, in RocketMQ's words.
type MessageType string

// The message types.
const (
	TypeNormal      MessageType = "NORMAL"
	TypeFIFO        MessageType = "FIFO"
	TypeDelay       MessageType = "DELAY"
	TypeTransaction MessageType = "TRANSACTION"
	TypePriority    MessageType = "PRIORITY"
	TypeLite        MessageType = "LITE"
)

// Topic is the value of a topic's name in [BucketTopics].
type Topic struct {
	Name   string            `json:"name"`
	ID     message.TopicID   `json:"id"`
	Queues int               `json:"queues"` // numbered 0 … Queues-1; only grows
	Shards []message.ShardID `json:"shards"` // the shard of queue i, for ever; empty for system topics, whose queue i is on the cluster's i-th shard
	Type   MessageType       `json:"type"`
	Ack    AckMode           `json:"ack"`

	RetentionAge   time.Duration `json:"retention_age"`   // nanoseconds; 0: for ever
	RetentionBytes int64         `json:"retention_bytes"` // 0: unbounded

	Created time.Time `json:"created"`
	Version uint64    `json:"version"` // from 1, one more per change

	// Deleted is when the topic was deleted; zero while it lives. The record then is a tombstone.
	Deleted time.Time `json:"deleted,omitzero"`

	// Ended are the ids of deleted incarnations of this name, this one's included once it is deleted,
	// whose deletion record some shard may not have yet.
	Ended []message.TopicID `json:"ended,omitempty"`
}

// System reports whether the topic is one that the broker made for a group.
func (t Topic) System() bool { return strings.HasPrefix(t.Name, "%") }

// Live reports whether t is a topic and not a tombstone.
func (t Topic) Live() bool { return t.ID != 0 && t.Deleted.IsZero() }

// Validate reports everything that is wrong with t, in field order, as [ErrInvalid].
func (t Topic) Validate() error {
	var errs []error
	if t.Name == "" || len(t.Name) > MaxTopicNameLen+len(DeadLetterPrefix)+MaxTopicNameLen {
		errs = append(errs, fmt.Errorf("%w: topic name of %d bytes", ErrInvalid, len(t.Name)))
	}
	if t.Queues < 1 || t.Queues > MaxQueues {
		errs = append(errs, fmt.Errorf("%w: %d queues, want 1 to %d", ErrInvalid, t.Queues, MaxQueues))
	}
	if !t.System() && len(t.Shards) != t.Queues {
		errs = append(errs, fmt.Errorf("%w: %d queues on %d places", ErrInvalid, t.Queues, len(t.Shards)))
	}
	switch t.Type {
	case TypeNormal, TypeFIFO, TypeDelay, TypeTransaction, TypePriority, TypeLite:
	default:
		errs = append(errs, fmt.Errorf("%w: message type %q", ErrInvalid, string(t.Type)))
	}
	switch t.Ack {
	case AckDurable, AckReplicated, AckLocal:
	default:
		errs = append(errs, fmt.Errorf("%w: ack mode %q", ErrInvalid, string(t.Ack)))
	}
	if t.RetentionAge < 0 || t.RetentionBytes < 0 {
		errs = append(errs, fmt.Errorf("%w: negative retention", ErrInvalid))
	}
	return errors.Join(errs...)
}

// Clone returns a topic that shares no memory with t.
func (t Topic) Clone() Topic {
	t.Shards, t.Ended = slices.Clone(t.Shards), slices.Clone(t.Ended)
	return t
}

// DeadLetterTopic returns the name of the topic that takes group's dead letters.
func DeadLetterTopic(group string) string { return DeadLetterPrefix + group }
