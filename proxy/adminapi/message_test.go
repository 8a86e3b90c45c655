package adminapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
)

func TestSendRefuses(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 1)
	many := make(map[string]string)
	for i := range 129 {
		many[fmt.Sprint(i)] = "x"
	}
	for name, c := range map[string]struct {
		req  *adminv1.SendMessageRequest
		code connect.Code
	}{
		"no body":             {&adminv1.SendMessageRequest{}, connect.CodeInvalidArgument},
		"large body":          {&adminv1.SendMessageRequest{Body: make([]byte, 4<<20+1)}, connect.CodeInvalidArgument},
		"tag with a bar":      {&adminv1.SendMessageRequest{Body: []byte("x"), Tag: "a|b"}, connect.CodeInvalidArgument},
		"blank tag":           {&adminv1.SendMessageRequest{Body: []byte("x"), Tag: " "}, connect.CodeInvalidArgument},
		"key with a space":    {&adminv1.SendMessageRequest{Body: []byte("x"), Keys: []string{"a b"}}, connect.CodeInvalidArgument},
		"blank key":           {&adminv1.SendMessageRequest{Body: []byte("x"), Keys: []string{""}}, connect.CodeInvalidArgument},
		"separator":           {&adminv1.SendMessageRequest{Body: []byte("x"), Properties: map[string]string{"a": "b\x01c"}}, connect.CodeInvalidArgument},
		"reserved property":   {&adminv1.SendMessageRequest{Body: []byte("x"), Properties: map[string]string{"KEYS": "x"}}, connect.CodeInvalidArgument},
		"many properties":     {&adminv1.SendMessageRequest{Body: []byte("x"), Properties: many}, connect.CodeInvalidArgument},
		"large properties":    {&adminv1.SendMessageRequest{Body: []byte("x"), Properties: map[string]string{"a": strings.Repeat("x", 16<<10)}}, connect.CodeInvalidArgument},
		"message group":       {&adminv1.SendMessageRequest{Body: []byte("x"), Kind: &adminv1.SendMessageRequest_MessageGroup{MessageGroup: "g"}}, connect.CodeUnimplemented},
		"delivery time":       {&adminv1.SendMessageRequest{Body: []byte("x"), Kind: &adminv1.SendMessageRequest_DeliveryTime{DeliveryTime: timestamppb.Now()}}, connect.CodeUnimplemented},
		"a topic there isn't": {&adminv1.SendMessageRequest{Topic: "nope", Body: []byte("x")}, connect.CodeNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if c.req.GetTopic() == "" {
				c.req.Topic = "orders"
			}
			_, err := r.client.SendMessage(t.Context(), c.req)
			wantCode(t, err, c.code)
		})
	}
	if n := r.shards[0].Count() + r.shards[1].Count(); n != 0 {
		t.Errorf("%d messages were stored", n)
	}
}

// A tail shows what is there and what comes, of queues on both shards, each message once, and ends with a
// reason when the server drains.
func TestTail(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 4)
	for i := range 6 {
		r.send(fmt.Sprint("old ", i))
	}
	stream, err := r.client.TailMessages(t.Context(), &adminv1.TailMessagesRequest{Topic: "orders", Start: &adminv1.TailMessagesRequest_First{First: true}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	receive := func(until int) {
		t.Helper()
		for len(got) < until {
			if !stream.Receive() {
				t.Fatalf("the stream ended with %v after %q", stream.Err(), got)
			}
			for _, m := range stream.Msg().GetMessages() {
				got = append(got, string(m.GetBody()))
			}
		}
	}
	receive(6)
	for i := range 40 {
		r.send(fmt.Sprint("new ", i))
		receive(7 + i)
	}
	slices.Sort(got)
	if n := len(slices.Compact(got)); n != 46 {
		t.Errorf("%d different messages: %q", n, got)
	}
	r.proxy.Drain()
	for stream.Receive() {
		t.Errorf("a message came from nowhere: %v", stream.Msg())
	}
	wantCode(t, stream.Err(), connect.CodeUnavailable)
}

// A tail that retention overtakes goes on at the first message that there still is.
func TestTailOvertaken(t *testing.T) {
	r := newRig(t)
	topic := r.createTopic("orders", 1)
	for i := range 5 {
		r.send(fmt.Sprint(i))
	}
	var id message.TopicID
	if _, err := fmt.Sscanf(topic.GetId(), "%x", &id); err != nil {
		t.Fatal(err)
	}
	cursorAt := cursor{id: 0, shard: r.shards[0]}
	r.shards[0].Expire(message.Queue{Topic: id}, 3)
	stored, err := r.catalog.TopicByName(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for range 3 {
		got, err := r.service.pull(t.Context(), stored, &cursorAt, filter.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got.messages {
			bodies = append(bodies, string(message.Stored(m.Stored).Body()))
		}
	}
	if got := strings.Join(bodies, " "); got != "3 4" {
		t.Errorf("got %q", got)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 1)
	for range maxStreams {
		release, err := r.service.stream()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	stream, err := r.client.TailMessages(t.Context(), &adminv1.TailMessagesRequest{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	if stream.Receive() {
		t.Error("one stream too many was served")
	}
	wantCode(t, stream.Err(), connect.CodeResourceExhausted)
}

func TestQuery(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 2)
	before := time.Now()
	sent := make(map[string]bool)
	for i := range 10 {
		sent[r.send(fmt.Sprint(i)).GetMessageId()] = true
	}
	query := func(req *adminv1.QueryMessagesRequest) (ids []string, truncated bool) {
		t.Helper()
		req.Topic = "orders"
		stream, err := r.client.QueryMessages(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for stream.Receive() {
			truncated = truncated || stream.Msg().GetTruncated()
			for _, m := range stream.Msg().GetMessages() {
				ids = append(ids, m.GetMessageId())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		return ids, truncated
	}
	for name, c := range map[string]struct {
		req       *adminv1.QueryMessagesRequest
		want      int
		truncated bool
	}{
		"key":           {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Key{Key: "k"}}, 10, false},
		"key, few":      {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Key{Key: "k"}, Limit: 4}, 4, true},
		"key, just all": {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Key{Key: "k"}, Limit: 10}, 10, false},
		"other key":     {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Key{Key: "x"}}, 0, false},
		"time":          {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Time{Time: &adminv1.TimeRange{Start: timestamppb.New(before.Add(-time.Minute))}}}, 10, false},
		"time, few":     {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Time{Time: &adminv1.TimeRange{}}, Limit: 7}, 7, true},
		"time, before":  {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Time{Time: &adminv1.TimeRange{End: timestamppb.New(before.Add(-time.Minute))}}}, 0, false},
		"time, after":   {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Time{Time: &adminv1.TimeRange{Start: timestamppb.New(before.Add(time.Hour))}}}, 0, false},
		"place":         {&adminv1.QueryMessagesRequest{By: &adminv1.QueryMessagesRequest_Position{Position: &adminv1.QueuePosition{Queue: 1, Offset: 4}}}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			ids, truncated := query(c.req)
			if len(ids) != c.want || truncated != c.truncated {
				t.Errorf("%d messages, truncated %t; want %d, %t", len(ids), truncated, c.want, c.truncated)
			}
			slices.Sort(ids)
			if n := len(slices.Compact(ids)); n != len(ids) {
				t.Errorf("only %d different messages: %q", n, ids)
			}
			for _, id := range ids {
				if !sent[id] {
					t.Errorf("message %s was never sent", id)
				}
			}
		})
	}
}

func TestStatus(t *testing.T) {
	res, err := newRig(t).client.GetStatus(t.Context(), &adminv1.GetStatusRequest{})
	if err != nil || res.GetReady() || res.GetVersion() != "v1" || res.GetParts()[0].GetReason() != "starting" {
		t.Errorf("got %v, %v", res, err)
	}
}
