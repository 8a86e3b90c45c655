package shard

import (
	"context"
	"fmt"
	"math"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/group"
)

// Commit implements [storelayer.Shard].
func (s *Shard) Commit(ctx context.Context, req *storelayer.ResetRequest) error {
	return s.move(ctx, req, func(p *progress) group.Step { return p.mu.Commit(req.Queue, req.Offset) }, func() {})
}

// Reset implements [storelayer.Shard].
func (s *Shard) Reset(ctx context.Context, req *storelayer.ResetRequest) error {
	return s.move(ctx, req, func(p *progress) group.Step {
		return p.mu.Reset(s.moment(), req.Queue, req.Offset, s.leases.Add(1))
	}, func() { s.waiters.visible(req.Queue.Topic, req.Group, math.MaxInt) })
}

// move appends what changes a group's offset and waits for the sync. Moved is called once the change is in, whether
// or not the caller has waited for that.
func (s *Shard) move(ctx context.Context, req *storelayer.ResetRequest, decide func(*progress) group.Step, moved func()) error {
	if err := checkGroup(req.Group); err != nil {
		return err
	}
	state, err := s.queueState(ctx, req.Queue)
	if err != nil {
		return err
	}
	if req.Offset < 0 || req.Offset > state.Next {
		return &storelayer.OffsetOutOfRangeError{Queue: req.Queue, Offset: req.Offset, First: state.First, Next: state.Next}
	}
	p := s.progressOf(group.Key{Name: req.Group, Generation: req.Generation})
	done := newOutcome()
	p.mu.Lock()
	step := decide(p)
	if step.Empty() {
		p.mu.Unlock()
		return nil
	}
	err = s.submit(step, nil, func(err error) {
		if err == nil {
			moved()
		}
		done.set(err)
	})
	if err != nil {
		p.mu.Abort(step.ID)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return done.wait(ctx)
}

// Committed implements [storelayer.Shard].
func (s *Shard) Committed(ctx context.Context, name string, generation uint32, q message.Queue) (message.Offset, error) {
	if _, err := s.queueState(ctx, q); err != nil {
		return 0, err
	}
	s.mu.RLock()
	p := s.mu.groups[group.Key{Name: name, Generation: generation}]
	s.mu.RUnlock()
	if p == nil {
		return 0, storelayer.ErrOffsetNotFound
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	offset, ok := p.mu.Committed(q)
	if !ok {
		return 0, storelayer.ErrOffsetNotFound
	}
	return offset, nil
}

// Groups implements [storelayer.Shard].
func (s *Shard) Groups(ctx context.Context, name string) ([]storelayer.GroupState, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	var states []storelayer.GroupState
	for _, p := range s.allProgress() {
		if name == "" || p.key.Name == name {
			states = append(states, s.groupStates(p)...)
		}
	}
	return states, nil
}

func (s *Shard) groupStates(p *progress) []storelayer.GroupState {
	p.mu.Lock()
	defer p.mu.Unlock()
	var states []storelayer.GroupState
	for _, q := range p.mu.Queues() {
		state, _ := s.table.Queue(q)
		counts, known := p.mu.Counts(s.moment(), q, state.First, state.Next)
		if !known {
			continue
		}
		states = append(states, storelayer.GroupState{
			Group: p.key.Name, Queue: q, Committed: counts.Committed, Next: state.Next,
			Ready: counts.Ready, InFlight: counts.InFlight, Settled: counts.Settled,
		})
	}
	return states
}

// DeleteGroup implements [storelayer.Shard].
func (s *Shard) DeleteGroup(ctx context.Context, name string, generation uint32) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	if err := checkGroup(name); err != nil {
		return err
	}
	r := group.LifeRecord{Key: group.Key{Name: name, Generation: generation}}
	return s.appendRecord(ctx, message.Record{Type: message.RecordGroupDelete, Body: r.AppendTo(nil)})
}

// maxGroupLen is what records and handles have room for, in bytes.
const maxGroupLen = 255

// checkGroup refuses a name that no record holds.
func checkGroup(name string) error {
	if len(name) > maxGroupLen {
		return fmt.Errorf("%w: consumer group of %d bytes", message.ErrInvalid, len(name))
	}
	return nil
}

// DeleteTopic implements [storelayer.Shard].
func (s *Shard) DeleteTopic(ctx context.Context, topic message.TopicID) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	return s.appendRecord(ctx, message.Record{
		Type: message.RecordTopicDelete, Topic: topic, Body: group.TopicDeleteRecord{}.AppendTo(nil),
	})
}

func (s *Shard) appendRecord(ctx context.Context, r message.Record) error {
	done := newOutcome()
	if err := s.submit(group.Step{Records: []message.Record{r}}, nil, done.set); err != nil {
		return err
	}
	return done.wait(ctx)
}
