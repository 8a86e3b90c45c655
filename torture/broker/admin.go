package broker

import (
	"context"
	"fmt"
	"net/http"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

// Admin is the admin API of a broker.
type Admin struct {
	rpc adminv1connect.AdminServiceClient
}

func newAdmin(address string) *Admin {
	return &Admin{adminv1connect.NewAdminServiceClient(http.DefaultClient, "http://"+address)}
}

// CreateTopic creates a topic.
func (a *Admin) CreateTopic(ctx context.Context, name string, queues int32) error {
	_, err := a.rpc.CreateTopic(ctx, &adminv1.CreateTopicRequest{
		Topic: &adminv1.Topic{Name: name, Queues: uint32(queues)},
	})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// CreateGroup creates a group that gives up after maxAttempts.
func (a *Admin) CreateGroup(ctx context.Context, name string, maxAttempts uint32) error {
	_, err := a.rpc.CreateGroup(ctx, &adminv1.CreateGroupRequest{
		Group: &adminv1.Group{Name: name, MaxAttempts: maxAttempts},
	})
	if err != nil {
		return fmt.Errorf("create group %s: %w", name, err)
	}
	return nil
}

// Lag returns how many messages a group has not settled.
func (a *Admin) Lag(ctx context.Context, group string) (int64, error) {
	answer, err := a.rpc.DescribeGroup(ctx, &adminv1.DescribeGroupRequest{Name: group})
	if err != nil {
		return 0, fmt.Errorf("describe group %s: %w", group, err)
	}
	var lag int64
	for _, p := range answer.GetProgress() {
		lag += p.GetLag()
	}
	return lag, nil
}

// Segments counts the segments that are in the object store and, of those, the ones that are only there.
func (a *Admin) Segments(ctx context.Context) (sealed, trimmed int, err error) {
	for token := ""; ; {
		answer, err := a.rpc.ListSegments(ctx, &adminv1.ListSegmentsRequest{PageToken: token})
		if err != nil {
			return 0, 0, fmt.Errorf("list segments: %w", err)
		}
		for _, s := range answer.GetSegments() {
			if len(s.GetObjects()) > 0 {
				sealed++
			}
			if s.GetState() == adminv1.SegmentState_SEGMENT_STATE_TRIMMED {
				trimmed++
			}
		}
		if token = answer.GetNextPageToken(); token == "" {
			return sealed, trimmed, nil
		}
	}
}

// FirstLocal returns, of each queue of a topic, the offset of the oldest message that is on the local disk.
func (a *Admin) FirstLocal(ctx context.Context, topic string) ([]int64, error) {
	answer, err := a.rpc.DescribeTopic(ctx, &adminv1.DescribeTopicRequest{Name: topic})
	if err != nil {
		return nil, fmt.Errorf("describe topic %s: %w", topic, err)
	}
	var out []int64
	for _, q := range answer.GetQueues() {
		out = append(out, q.GetFirstLocalOffset())
	}
	return out, nil
}
