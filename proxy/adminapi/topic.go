package adminapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// defaultQueues is how many queues a topic gets that does not say.
const defaultQueues = 8

// retryDeletions is how often deletions that a shard has not confirmed are repeated.
const retryDeletions = 10 * time.Second

// CreateTopic creates a NORMAL topic.
func (s *Service) CreateTopic(ctx context.Context, req *adminv1.CreateTopicRequest) (*adminv1.CreateTopicResponse, error) {
	asked := req.GetTopic()
	if err := checkTopicName(asked.GetName()); err != nil {
		return nil, err
	}
	t := meta.Topic{Name: asked.GetName(), Queues: defaultQueues, Type: meta.TypeNormal, Ack: meta.AckDurable}
	if asked.GetQueues() != 0 {
		t.Queues = int(min(asked.GetQueues(), meta.MaxQueues+1))
	}
	if err := setType(&t, asked.GetMessageType()); err != nil {
		return nil, err
	}
	if err := setAck(&t, asked.GetAckMode()); err != nil {
		return nil, err
	}
	if err := setRetention(&t, asked.GetRetentionAge(), asked.GetRetentionBytes()); err != nil {
		return nil, err
	}
	created, err := s.catalog.CreateTopic(ctx, t)
	if err != nil {
		return nil, err
	}
	return &adminv1.CreateTopicResponse{Topic: topicMessage(created)}, nil
}

// ListTopics lists topics; the page token is the last name of the page before.
func (s *Service) ListTopics(_ context.Context, req *adminv1.ListTopicsRequest) (*adminv1.ListTopicsResponse, error) {
	limit := pageSize(req.GetPageSize())
	res := &adminv1.ListTopicsResponse{}
	for _, t := range s.catalog.Topics() {
		if t.Name <= req.GetPageToken() || !strings.HasPrefix(t.Name, req.GetPrefix()) || t.System() && !req.GetIncludeSystem() {
			continue
		}
		if len(res.Topics) == limit {
			res.NextPageToken = res.Topics[limit-1].GetName()
			break
		}
		res.Topics = append(res.Topics, topicMessage(t))
	}
	return res, nil
}

// DescribeTopic shows a topic and its queues.
func (s *Service) DescribeTopic(ctx context.Context, req *adminv1.DescribeTopicRequest) (*adminv1.DescribeTopicResponse, error) {
	t, err := s.topic(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	res := &adminv1.DescribeTopicResponse{Topic: topicMessage(t)}
	for i := range s.queueCount(t) {
		id := message.QueueID(i)
		shard, err := s.shardOf(t, id)
		if err != nil {
			return nil, err
		}
		state, err := shard.Queue(ctx, message.Queue{Topic: t.ID, ID: id})
		if err != nil {
			return nil, err
		}
		q := &adminv1.TopicQueue{
			Shard:            uint32(shard.ID()),
			Queue:            uint32(id),
			FirstOffset:      int64(state.First),
			NextOffset:       int64(state.Next),
			FirstLocalOffset: int64(state.FirstLocal),
		}
		if state.LastStoreTime > 0 {
			q.LastStoreTime = timestamppb.New(time.UnixMilli(state.LastStoreTime))
		}
		res.Queues = append(res.Queues, q)
	}
	return res, nil
}

// UpdateTopic changes the fields of the mask.
func (s *Service) UpdateTopic(ctx context.Context, req *adminv1.UpdateTopicRequest) (*adminv1.UpdateTopicResponse, error) {
	asked := req.GetTopic()
	if err := checkTopicName(asked.GetName()); err != nil {
		return nil, err
	}
	paths := req.GetUpdateMask().GetPaths()
	if len(paths) == 0 {
		return nil, invalid("update_mask: names no field")
	}
	updated, err := s.catalog.UpdateTopic(ctx, asked.GetName(), func(t *meta.Topic) error {
		if v := asked.GetVersion(); v != 0 && v != t.Version {
			return fmt.Errorf("topic %q has version %d, not %d: %w", t.Name, t.Version, v, meta.ErrConflict)
		}
		for _, path := range paths {
			if err := s.updateField(t, asked, path); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &adminv1.UpdateTopicResponse{Topic: topicMessage(updated)}, nil
}

func (s *Service) updateField(t *meta.Topic, asked *adminv1.Topic, path string) error {
	switch path {
	case "queues":
		n := int(min(asked.GetQueues(), meta.MaxQueues+1))
		if n < t.Queues {
			return invalid("queues: topic %s has %d, and queues are never taken away", t.Name, t.Queues)
		}
		if n > meta.MaxQueues {
			return invalid("queues: %d, at most %d", asked.GetQueues(), meta.MaxQueues)
		}
		for i := t.Queues; i < n; i++ {
			t.Shards = append(t.Shards, s.shards[i%len(s.shards)].ID())
		}
		t.Queues = n
		return nil
	case "message_type":
		return setType(t, asked.GetMessageType())
	case "ack_mode":
		return setAck(t, asked.GetAckMode())
	case "retention_age":
		return setRetention(t, asked.GetRetentionAge(), t.RetentionBytes)
	case "retention_bytes":
		return setRetention(t, durationpb.New(t.RetentionAge), asked.GetRetentionBytes())
	default:
		return invalid("update_mask: %q is none of queues, message_type, ack_mode, retention_age, retention_bytes", path)
	}
}

// DeleteTopic deletes a topic; if a shard cannot be told now, Run tells it later.
func (s *Service) DeleteTopic(ctx context.Context, req *adminv1.DeleteTopicRequest) (*adminv1.DeleteTopicResponse, error) {
	t, err := s.topic(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if v := req.GetVersion(); v != 0 && v != t.Version {
		return nil, fmt.Errorf("topic %q has version %d, not %d: %w", t.Name, t.Version, v, meta.ErrConflict)
	}
	deleted, err := s.catalog.DeleteTopic(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	if err := s.endTopic(ctx, deleted); err != nil {
		s.log.Warn("topic deleted, a shard has not heard of it yet", "topic", deleted.Name, "err", err)
	}
	return &adminv1.DeleteTopicResponse{}, nil
}

// Run repeats the deletions that a shard has not confirmed, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(retryDeletions)
	defer tick.Stop()
	for {
		for _, t := range s.catalog.EndedTopics() {
			if err := s.endTopic(ctx, t); err != nil && ctx.Err() == nil {
				s.log.Warn("deletion of a topic not finished yet", "topic", t.Name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// endTopic ends the deleted incarnations of a topic on every shard, then notes that it is done.
func (s *Service) endTopic(ctx context.Context, t *meta.Topic) error {
	for _, id := range t.Ended {
		for _, shard := range s.shards {
			if err := shard.DeleteTopic(ctx, id); err != nil {
				return fmt.Errorf("shard %s: %w", shard.ID(), err)
			}
		}
		if err := s.catalog.ConfirmEnded(ctx, t.Name, id); err != nil {
			return err
		}
	}
	return nil
}

// topic returns a live topic.
func (s *Service) topic(ctx context.Context, name string) (*meta.Topic, error) {
	if name == "" {
		return nil, invalid("topic: no name given")
	}
	t, err := s.catalog.TopicByName(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no topic %q", name))
	}
	return t, err
}

var topicTypes = map[adminv1.MessageType]meta.MessageType{
	adminv1.MessageType_MESSAGE_TYPE_NORMAL:      meta.TypeNormal,
	adminv1.MessageType_MESSAGE_TYPE_FIFO:        meta.TypeFIFO,
	adminv1.MessageType_MESSAGE_TYPE_DELAY:       meta.TypeDelay,
	adminv1.MessageType_MESSAGE_TYPE_TRANSACTION: meta.TypeTransaction,
	adminv1.MessageType_MESSAGE_TYPE_LITE:        meta.TypeLite,
	adminv1.MessageType_MESSAGE_TYPE_PRIORITY:    meta.TypePriority,
}

var ackModes = map[adminv1.AckMode]meta.AckMode{
	adminv1.AckMode_ACK_MODE_DURABLE:    meta.AckDurable,
	adminv1.AckMode_ACK_MODE_LOCAL:      meta.AckLocal,
	adminv1.AckMode_ACK_MODE_REPLICATED: meta.AckReplicated,
}

func setType(t *meta.Topic, asked adminv1.MessageType) error {
	switch asked {
	case adminv1.MessageType_MESSAGE_TYPE_UNSPECIFIED:
		return nil
	case adminv1.MessageType_MESSAGE_TYPE_NORMAL:
		t.Type = meta.TypeNormal
		return nil
	default:
		return notYet("topics take NORMAL messages, not %s", strings.TrimPrefix(asked.String(), "MESSAGE_TYPE_"))
	}
}

func setAck(t *meta.Topic, asked adminv1.AckMode) error {
	switch asked {
	case adminv1.AckMode_ACK_MODE_UNSPECIFIED:
		return nil
	case adminv1.AckMode_ACK_MODE_REPLICATED:
		return connect.NewError(connect.CodeUnimplemented,
			fmt.Errorf("ack mode replicated needs followers, and this version has no replication; take durable or local"))
	default:
		mode, ok := ackModes[asked]
		if !ok {
			return invalid("ack_mode: %d is not known", asked)
		}
		t.Ack = mode
		return nil
	}
}

func setRetention(t *meta.Topic, age *durationpb.Duration, bytes int64) error {
	if age != nil && (age.CheckValid() != nil || age.AsDuration() < 0) {
		return invalid("retention_age: %s is no age", age)
	}
	if bytes < 0 {
		return invalid("retention_bytes: %d is negative", bytes)
	}
	t.RetentionAge, t.RetentionBytes = age.AsDuration(), bytes
	return nil
}

// topicMessage shows a topic.
func topicMessage(t *meta.Topic) *adminv1.Topic {
	out := &adminv1.Topic{
		Name:           t.Name,
		Id:             t.ID.String(),
		Queues:         uint32(t.Queues),
		RetentionBytes: t.RetentionBytes,
		CreateTime:     timestamppb.New(t.Created),
		Version:        t.Version,
	}
	for shown, stored := range topicTypes {
		if stored == t.Type {
			out.MessageType = shown
		}
	}
	for shown, stored := range ackModes {
		if stored == t.Ack {
			out.AckMode = shown
		}
	}
	if t.RetentionAge > 0 {
		out.RetentionAge = durationpb.New(t.RetentionAge)
	}
	return out
}

// topicName names the topic of an id, by the id itself if it is not known.
func (s *Service) topicName(id message.TopicID) string {
	if t, ok := s.catalog.TopicByID(id); ok {
		return t.Name
	}
	return id.String()
}
