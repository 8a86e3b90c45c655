package adminapi

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
)

func TestCreateTopicRefuses(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		topic *adminv1.Topic
		code  connect.Code
	}{
		"no name":           {&adminv1.Topic{}, connect.CodeInvalidArgument},
		"long name":         {&adminv1.Topic{Name: strings.Repeat("x", 128)}, connect.CodeInvalidArgument},
		"odd name":          {&adminv1.Topic{Name: "a/b"}, connect.CodeInvalidArgument},
		"system name":       {&adminv1.Topic{Name: "rmq_sys_x"}, connect.CodeInvalidArgument},
		"too many queues":   {&adminv1.Topic{Name: "t", Queues: 1 << 31}, connect.CodeInvalidArgument},
		"negative size":     {&adminv1.Topic{Name: "t", RetentionBytes: -1}, connect.CodeInvalidArgument},
		"negative age":      {&adminv1.Topic{Name: "t", RetentionAge: durationpb.New(-time.Second)}, connect.CodeInvalidArgument},
		"impossible age":    {&adminv1.Topic{Name: "t", RetentionAge: &durationpb.Duration{Seconds: 1 << 62}}, connect.CodeInvalidArgument},
		"unknown mode":      {&adminv1.Topic{Name: "t", AckMode: 77}, connect.CodeInvalidArgument},
		"replicated":        {&adminv1.Topic{Name: "t", AckMode: adminv1.AckMode_ACK_MODE_REPLICATED}, connect.CodeUnimplemented},
		"another type":      {&adminv1.Topic{Name: "t", MessageType: adminv1.MessageType_MESSAGE_TYPE_DELAY}, connect.CodeUnimplemented},
		"a type not known":  {&adminv1.Topic{Name: "t", MessageType: 77}, connect.CodeUnimplemented},
		"every type in one": {&adminv1.Topic{Name: "t", MessageType: adminv1.MessageType_MESSAGE_TYPE_MIXED}, connect.CodeUnimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.client.CreateTopic(t.Context(), &adminv1.CreateTopicRequest{Topic: c.topic})
			wantCode(t, err, c.code)
		})
	}
	if n := len(r.catalog.Topics()); n != 0 {
		t.Errorf("%d topics were made", n)
	}
}

func TestTopicPages(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.createTopic(fmt.Sprintf("t%d", i), 1)
	}
	var names []string
	req := &adminv1.ListTopicsRequest{Prefix: "t", PageSize: 3}
	for pages := 1; ; pages++ {
		res, err := r.client.ListTopics(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range res.GetTopics() {
			names = append(names, topic.GetName())
		}
		if req.PageToken = res.GetNextPageToken(); req.GetPageToken() == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if got := strings.Join(names, " "); got != "t0 t1 t2 t3 t4 t5 t6" {
		t.Errorf("got %s", got)
	}
}

// Queues are spread over the shards, those that come later as well, and keep their shard.
func TestQueuesOverShards(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 3)
	_, err := r.client.UpdateTopic(t.Context(), &adminv1.UpdateTopicRequest{
		Topic:      &adminv1.Topic{Name: "orders", Queues: 5},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"queues"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.DescribeTopic(t.Context(), &adminv1.DescribeTopicRequest{Name: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range res.GetQueues() {
		if q.GetQueue() != uint32(i) || q.GetShard() != uint32(i%2) {
			t.Errorf("queue %d is %v", i, q)
		}
	}
	if n := len(res.GetQueues()); n != 5 {
		t.Errorf("%d queues", n)
	}
}

func TestUpdateTopicRefuses(t *testing.T) {
	r := newRig(t)
	topic := r.createTopic("orders", 3)
	update := func(topic *adminv1.Topic, paths ...string) error {
		_, err := r.client.UpdateTopic(t.Context(), &adminv1.UpdateTopicRequest{Topic: topic, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths}})
		return err
	}
	wantCode(t, update(&adminv1.Topic{Name: "orders", Queues: 2}, "queues"), connect.CodeInvalidArgument)
	wantCode(t, update(&adminv1.Topic{Name: "orders"}), connect.CodeInvalidArgument)
	wantCode(t, update(&adminv1.Topic{Name: "orders"}, "id"), connect.CodeInvalidArgument)
	wantCode(t, update(&adminv1.Topic{Name: "nope", Queues: 9}, "queues"), connect.CodeNotFound)
	wantCode(t, update(&adminv1.Topic{Name: "orders", Queues: 9, Version: topic.GetVersion() + 1}, "queues"), connect.CodeAborted)
	_, err := r.client.DeleteTopic(t.Context(), &adminv1.DeleteTopicRequest{Name: "orders", Version: topic.GetVersion() + 1})
	wantCode(t, err, connect.CodeAborted)
}

// A deletion that a shard does not hear of is repeated until every shard has it.
func TestDeletionIsFinished(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 2)
	r.shards[1].failWith(errors.New("shard is away"))
	if _, err := r.client.DeleteTopic(t.Context(), &adminv1.DeleteTopicRequest{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	_, err := r.client.DescribeTopic(t.Context(), &adminv1.DescribeTopicRequest{Name: "orders"})
	wantCode(t, err, connect.CodeNotFound)
	if n := len(r.catalog.EndedTopics()); n != 1 {
		t.Fatalf("%d deletions are open", n)
	}
	r.shards[1].failWith(nil)
	for _, topic := range r.catalog.EndedTopics() {
		if err := r.service.endTopic(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	for i, shard := range r.shards {
		if ended := shard.endedTopics(); len(ended) == 0 || ended[len(ended)-1] != message.TopicID(1) {
			t.Errorf("shard %d has ended %v", i, ended)
		}
	}
	if n := len(r.catalog.EndedTopics()); n != 0 {
		t.Errorf("%d deletions are open", n)
	}
}
