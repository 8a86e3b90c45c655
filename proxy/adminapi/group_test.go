package adminapi

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
)

func TestBackoff(t *testing.T) {
	exponential := func(initial, longest time.Duration, factor float64) *adminv1.BackoffPolicy {
		return &adminv1.BackoffPolicy{Strategy: &adminv1.BackoffPolicy_Exponential{Exponential: &adminv1.ExponentialBackoff{
			Initial: durationpb.New(initial), Max: durationpb.New(longest), Multiplier: factor,
		}}}
	}
	for name, c := range map[string]struct {
		policy *adminv1.BackoffPolicy
		want   []time.Duration // nil: refused
	}{
		"doubling":      {exponential(time.Second, 5*time.Second, 2), []time.Duration{1e9, 2e9, 4e9, 5e9}},
		"constant":      {exponential(time.Second, time.Minute, 1), []time.Duration{1e9}},
		"shrinking":     {exponential(time.Second, time.Minute, 0.5), nil},
		"no first":      {exponential(0, time.Minute, 2), nil},
		"first too far": {exponential(time.Hour, time.Minute, 2), nil},
		"empty":         {&adminv1.BackoffPolicy{Strategy: &adminv1.BackoffPolicy_Fixed{Fixed: &adminv1.FixedBackoff{}}}, nil},
		"negative": {&adminv1.BackoffPolicy{Strategy: &adminv1.BackoffPolicy_Fixed{Fixed: &adminv1.FixedBackoff{
			Delays: []*durationpb.Duration{durationpb.New(-1)},
		}}}, nil},
	} {
		got, err := backoffOf(c.policy)
		if (err != nil) != (c.want == nil) || len(got) != len(c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
	}
}

func TestResetOffset(t *testing.T) {
	r := newRig(t)
	r.createTopic("orders", 2)
	for range 6 {
		r.send("x")
	}
	if _, err := r.client.CreateGroup(t.Context(), &adminv1.CreateGroupRequest{Group: &adminv1.Group{Name: "g"}}); err != nil {
		t.Fatal(err)
	}
	reset := func(req *adminv1.ResetOffsetRequest) error {
		req.Group, req.Topic = "g", "orders"
		_, err := r.client.ResetOffset(t.Context(), req)
		return err
	}
	topic, err := r.catalog.TopicByName(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	resetTo := func(queue int) int64 {
		return int64(r.shards[queue].resetTo(message.Queue{Topic: topic.ID, ID: message.QueueID(queue)}))
	}
	for _, c := range []struct {
		req  *adminv1.ResetOffsetRequest
		want int64
	}{
		{&adminv1.ResetOffsetRequest{Target: &adminv1.ResetOffsetRequest_Last{Last: true}}, 3},
		{&adminv1.ResetOffsetRequest{Target: &adminv1.ResetOffsetRequest_First{First: true}}, 0},
		{&adminv1.ResetOffsetRequest{Target: &adminv1.ResetOffsetRequest_Offset{Offset: 2}}, 2},
		{&adminv1.ResetOffsetRequest{Target: &adminv1.ResetOffsetRequest_Offset{Offset: 99}}, 3},
		{&adminv1.ResetOffsetRequest{Target: &adminv1.ResetOffsetRequest_Offset{Offset: -1}}, 0},
	} {
		if err := reset(c.req); err != nil {
			t.Fatal(err)
		}
		for queue := range 2 {
			if got := resetTo(queue); got != c.want {
				t.Errorf("%v: queue %d at %d, want %d", c.req, queue, got, c.want)
			}
		}
	}
	wantCode(t, reset(&adminv1.ResetOffsetRequest{}), connect.CodeInvalidArgument)
	// One queue that is wrong moves none.
	wantCode(t, reset(&adminv1.ResetOffsetRequest{Queues: []uint32{0, 2}, Target: &adminv1.ResetOffsetRequest_Last{Last: true}}), connect.CodeNotFound)
	if got := resetTo(0); got != 0 {
		t.Errorf("queue 0 at %d", got)
	}
}
