package adminapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// maxAttemptsLimit bounds the attempts of a group.
const maxAttemptsLimit = 10_000

// maxBackoffSteps bounds the delays of a group; the last one repeats.
const maxBackoffSteps = 128

// CreateGroup creates a group before its first use, so that it can have other settings than the defaults.
func (s *Service) CreateGroup(ctx context.Context, req *adminv1.CreateGroupRequest) (*adminv1.CreateGroupResponse, error) {
	asked := req.GetGroup()
	if err := checkGroupName(asked.GetName()); err != nil {
		return nil, err
	}
	g := meta.DefaultGroup(asked.GetName(), time.Now())
	if n := asked.GetMaxAttempts(); n > maxAttemptsLimit {
		return nil, invalid("max_attempts: %d, at most %d", n, maxAttemptsLimit)
	} else if n > 0 {
		g.MaxAttempts = int(n)
	}
	delays, err := backoffOf(asked.GetBackoffPolicy())
	if err != nil {
		return nil, err
	}
	if delays != nil {
		g.Backoff = delays
	}
	created, err := s.catalog.CreateGroup(ctx, g)
	if err != nil {
		return nil, err
	}
	return &adminv1.CreateGroupResponse{Group: groupMessage(created)}, nil
}

// ListGroups lists groups; the page token is the last name of the page before.
func (s *Service) ListGroups(_ context.Context, req *adminv1.ListGroupsRequest) (*adminv1.ListGroupsResponse, error) {
	limit := pageSize(req.GetPageSize())
	res := &adminv1.ListGroupsResponse{}
	for _, g := range s.catalog.Groups() {
		if g.Name <= req.GetPageToken() || !strings.HasPrefix(g.Name, req.GetPrefix()) {
			continue
		}
		if len(res.Groups) == limit {
			res.NextPageToken = res.Groups[limit-1].GetName()
			break
		}
		res.Groups = append(res.Groups, groupMessage(g))
	}
	return res, nil
}

// DescribeGroup shows a group, its progress and its clients.
func (s *Service) DescribeGroup(ctx context.Context, req *adminv1.DescribeGroupRequest) (*adminv1.DescribeGroupResponse, error) {
	g, err := s.group(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	var only message.TopicID
	if req.GetTopic() != "" {
		t, err := s.topic(ctx, req.GetTopic())
		if err != nil {
			return nil, err
		}
		only = t.ID
	}
	progress, err := s.progress(ctx, g, func(q message.Queue) bool { return only == 0 || q.Topic == only })
	if err != nil {
		return nil, err
	}
	res := &adminv1.DescribeGroupResponse{Group: groupMessage(g), Progress: progress}
	for _, c := range s.proxy.Sessions().Clients() {
		if c.Group == g.Name {
			res.Clients = append(res.Clients, &adminv1.GroupClient{ClientId: c.ID, Language: c.Language})
		}
	}
	slices.SortFunc(res.Clients, func(a, b *adminv1.GroupClient) int { return cmp.Compare(a.GetClientId(), b.GetClientId()) })
	return res, nil
}

// progress returns the progress of a group in the queues that are wanted, in the order of topic and queue.
func (s *Service) progress(ctx context.Context, g *meta.Group, wanted func(message.Queue) bool) ([]*adminv1.GroupProgress, error) {
	var out []*adminv1.GroupProgress
	for _, shard := range s.shards {
		states, err := shard.Groups(ctx, g.Name)
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", shard.ID(), err)
		}
		for _, st := range states {
			if wanted(st.Queue) {
				out = append(out, &adminv1.GroupProgress{
					Topic:           s.topicName(st.Queue.Topic),
					Queue:           uint32(st.Queue.ID),
					CommittedOffset: int64(st.Committed),
					NextOffset:      int64(st.Next),
					Ready:           st.Ready,
					InFlight:        st.InFlight,
					Lag:             max(int64(st.Next-st.Committed)-st.Settled, 0),
				})
			}
		}
	}
	slices.SortFunc(out, func(a, b *adminv1.GroupProgress) int {
		return cmp.Or(cmp.Compare(a.GetTopic(), b.GetTopic()), cmp.Compare(a.GetQueue(), b.GetQueue()))
	})
	return out, nil
}

// ResetOffset puts a group to a place in queues of a topic.
func (s *Service) ResetOffset(ctx context.Context, req *adminv1.ResetOffsetRequest) (*adminv1.ResetOffsetResponse, error) {
	g, err := s.group(ctx, req.GetGroup())
	if err != nil {
		return nil, err
	}
	t, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return nil, err
	}
	queues, err := s.queuesOf(t, req.GetQueues())
	if err != nil {
		return nil, err
	}
	// Every target is found before the first queue is moved, so that a request that is wrong moves none.
	targets := make([]message.Offset, len(queues))
	for i, id := range queues {
		if targets[i], err = s.resetTarget(ctx, t, id, req); err != nil {
			return nil, err
		}
	}
	for i, id := range queues {
		shard, err := s.shardOf(t, id)
		if err != nil {
			return nil, err
		}
		err = shard.Reset(ctx, &storelayer.ResetRequest{
			Group:      g.Name,
			Generation: uint32(g.Generation),
			Queue:      message.Queue{Topic: t.ID, ID: id},
			Offset:     targets[i],
		})
		if err != nil {
			return nil, fmt.Errorf("queue %d of %s, after %d queues were reset: %w", id, t.Name, i, err)
		}
		s.log.Info("group reset", "group", g.Name, "topic", t.Name, "queue", int(id), "offset", int64(targets[i]))
	}
	progress, err := s.progress(ctx, g, func(q message.Queue) bool { return q.Topic == t.ID && slices.Contains(queues, q.ID) })
	if err != nil {
		return nil, err
	}
	return &adminv1.ResetOffsetResponse{Progress: progress}, nil
}

// resetTarget returns the offset that a queue is reset to, cut to what the queue holds.
func (s *Service) resetTarget(ctx context.Context, t *meta.Topic, id message.QueueID, req *adminv1.ResetOffsetRequest) (message.Offset, error) {
	state, err := s.proxy.Queue(ctx, t, id)
	if err != nil {
		return 0, err
	}
	switch target := req.GetTarget().(type) {
	case *adminv1.ResetOffsetRequest_Offset:
		return min(max(message.Offset(target.Offset), state.First), state.Next), nil
	case *adminv1.ResetOffsetRequest_First:
		return state.First, nil
	case *adminv1.ResetOffsetRequest_Last:
		return state.Next, nil
	case *adminv1.ResetOffsetRequest_Timestamp:
		if err := target.Timestamp.CheckValid(); err != nil {
			return 0, invalid("timestamp: %w", err)
		}
		return s.proxy.OffsetAt(ctx, t, id, target.Timestamp.AsTime().UnixMilli())
	default:
		return 0, invalid("target: none of offset, first, last, timestamp given")
	}
}

// DeleteGroup deletes a group with its progress. Its dead letters stay: they are messages.
func (s *Service) DeleteGroup(ctx context.Context, req *adminv1.DeleteGroupRequest) (*adminv1.DeleteGroupResponse, error) {
	g, err := s.group(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	deleted, err := s.catalog.DeleteGroup(ctx, g.Name)
	if err != nil {
		return nil, err
	}
	for _, shard := range s.shards {
		// The generation is over in any case: what a shard keeps of it nobody sees any more.
		if err := shard.DeleteGroup(ctx, deleted.Name, uint32(deleted.Generation)); err != nil {
			s.log.Warn("group deleted, a shard keeps its progress", "group", deleted.Name, "shard", shard.ID().String(), "err", err)
		}
	}
	return &adminv1.DeleteGroupResponse{}, nil
}

// group returns a live group.
func (s *Service) group(ctx context.Context, name string) (*meta.Group, error) {
	if name == "" {
		return nil, invalid("group: no name given")
	}
	g, err := s.catalog.GroupByName(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no consumer group %q", name))
	}
	return g, err
}

// backoffOf returns the delays of a policy, nil for none.
func backoffOf(p *adminv1.BackoffPolicy) ([]time.Duration, error) {
	switch strategy := p.GetStrategy().(type) {
	case *adminv1.BackoffPolicy_Fixed:
		delays := strategy.Fixed.GetDelays()
		if len(delays) == 0 || len(delays) > maxBackoffSteps {
			return nil, invalid("backoff_policy: %d delays, want 1 to %d", len(delays), maxBackoffSteps)
		}
		var out []time.Duration
		for _, d := range delays {
			if d.CheckValid() != nil || d.AsDuration() < 0 {
				return nil, invalid("backoff_policy: %s is no delay", d)
			}
			out = append(out, d.AsDuration())
		}
		return out, nil
	case *adminv1.BackoffPolicy_Exponential:
		return exponential(strategy.Exponential)
	default:
		return nil, nil
	}
}

// exponential returns the delays up to the first one that is the longest.
func exponential(e *adminv1.ExponentialBackoff) ([]time.Duration, error) {
	initial, longest, factor := e.GetInitial().AsDuration(), e.GetMax().AsDuration(), e.GetMultiplier()
	if initial <= 0 || longest < initial || !(factor >= 1) {
		return nil, invalid("backoff_policy: want 0 < initial ≤ max and a multiplier of at least 1")
	}
	var out []time.Duration
	for d := float64(initial); len(out) < maxBackoffSteps; d *= factor {
		out = append(out, time.Duration(min(d, float64(longest))))
		if d >= float64(longest) || factor == 1 {
			break
		}
	}
	return out, nil
}

// groupMessage shows a group.
func groupMessage(g *meta.Group) *adminv1.Group {
	fixed := &adminv1.FixedBackoff{}
	for _, d := range g.Backoff {
		fixed.Delays = append(fixed.Delays, durationpb.New(d))
	}
	return &adminv1.Group{
		Name:          g.Name,
		MaxAttempts:   uint32(g.MaxAttempts),
		BackoffPolicy: &adminv1.BackoffPolicy{Strategy: &adminv1.BackoffPolicy_Fixed{Fixed: fixed}},
		Generation:    g.Generation,
		CreateTime:    timestamppb.New(g.Created),
	}
}
