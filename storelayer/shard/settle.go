package shard

import (
	"context"
	"fmt"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/group"
)

// Ack implements [storelayer.Shard].
func (s *Shard) Ack(ctx context.Context, handles []storelayer.Handle) ([]error, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	if len(handles) == 0 {
		return nil, nil
	}
	if oneGroup(handles) {
		return s.ack(ctx, groupOf(handles[0]), handles)
	}
	errs := make([]error, len(handles))
	for key, of := range indexesByGroup(handles) {
		some := make([]storelayer.Handle, len(of))
		for i, at := range of {
			some[i] = handles[at]
		}
		got, err := s.ack(ctx, key, some)
		if err != nil {
			return nil, err
		}
		for i, at := range of {
			errs[at] = got[i]
		}
	}
	return errs, nil
}

func (s *Shard) ack(ctx context.Context, key group.Key, handles []storelayer.Handle) ([]error, error) {
	p := s.progressFor(key, handles)
	if p == nil {
		return slices.Repeat([]error{storelayer.ErrInvalidHandle}, len(handles)), nil
	}
	done := newOutcome()
	p.mu.Lock()
	out := p.mu.Settle(s.moment(), group.Acked, handles)
	if out.Empty() {
		p.mu.Unlock()
		return out.Errs, nil
	}
	err := s.submit(out.Step, nil, done.set)
	if err != nil {
		p.mu.Abort(out.ID)
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return out.Errs, done.wait(ctx)
}

// progressFor returns the progress of the group that handles name; nil if it is not known and no handle is good. A
// handle comes from outside, so only one whose lease a restart may have taken makes a group.
func (s *Shard) progressFor(key group.Key, handles []storelayer.Handle) *progress {
	if p := s.knownProgress(key); p != nil {
		return p
	}
	if group.New(key).Settle(s.moment(), group.Acked, handles).Empty() {
		return nil
	}
	return s.progressOf(key)
}

// Change implements [storelayer.Shard].
func (s *Shard) Change(ctx context.Context, req *storelayer.ChangeRequest) (storelayer.Handle, error) {
	if err := s.admit(ctx); err != nil {
		return storelayer.Handle{}, err
	}
	p := s.progressFor(groupOf(req.Handle), []storelayer.Handle{req.Handle})
	if p == nil {
		return req.Handle, storelayer.ErrInvalidHandle
	}
	done := newOutcome()
	deadline := s.now() + req.Invisible.Milliseconds()
	p.mu.Lock()
	out := p.mu.ChangeVisibility(s.moment(), req.Handle, deadline, req.Uncounted)
	if out.Errs[0] != nil || out.Empty() {
		p.mu.Unlock()
		return req.Handle, out.Errs[0]
	}
	err := s.submit(out.Step, nil, done.set)
	if err != nil {
		p.mu.Abort(out.ID)
	}
	p.mu.Unlock()
	if err != nil {
		return storelayer.Handle{}, err
	}
	// The decision counts from here on, whether or not its caller waits for the sync.
	if req.Invisible <= 0 {
		s.waiters.visible(req.Handle.Queue.Topic, p.key.Name, 1)
	}
	s.waiters.ends(req.Handle.Queue.Topic, p.key.Name, deadline)
	if err := done.wait(ctx); err != nil {
		return storelayer.Handle{}, err
	}
	h := req.Handle
	h.Deadline = deadline
	return h, nil
}

// DeadLetter implements [storelayer.Shard].
func (s *Shard) DeadLetter(ctx context.Context, h storelayer.Handle) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	p := s.progressFor(groupOf(h), []storelayer.Handle{h})
	if p == nil {
		return storelayer.ErrInvalidHandle
	}
	settled, err := s.settledBefore(ctx, p, h)
	if err != nil || settled {
		return err
	}
	return s.moveToDeadLetters(ctx, p, h.Queue, h.Offset, h.Attempt, func(dead message.Queue) group.DeadLetterOutcome {
		return p.mu.DeadLetter(s.moment(), h, dead)
	})
}

// settledBefore reports whether the message of a handle is settled already, once that is durable.
func (s *Shard) settledBefore(ctx context.Context, p *progress, h storelayer.Handle) (bool, error) {
	p.mu.Lock()
	m := s.moment()
	settled, err := p.mu.DeadLetterable(m, h)
	if err != nil || !settled {
		p.mu.Unlock()
		return settled, err
	}
	// Who settled it may still wait for the sync: a record behind theirs is answered after it.
	out := p.mu.DeadLetter(m, h, message.Queue{})
	if out.Empty() {
		p.mu.Unlock()
		return true, out.Err
	}
	done := newOutcome()
	if err = s.submit(out.Step, nil, done.set); err != nil {
		p.mu.Abort(out.ID)
	}
	p.mu.Unlock()
	if err != nil {
		return true, err
	}
	return true, done.wait(ctx)
}

// Alive implements [storelayer.Shard].
func (s *Shard) Alive(ctx context.Context, clients []string) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	s.clients.Report(s.now(), clients...)
	return nil
}

// Gone implements [storelayer.Shard].
func (s *Shard) Gone(ctx context.Context, client string) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	s.clients.Gone(s.now(), client)
	for _, p := range s.allProgress() {
		p.mu.Lock()
		step := p.mu.ClientGone(s.moment(), client)
		var err error
		if !step.Empty() {
			if err = s.submit(step, nil, nil); err != nil {
				p.mu.Abort(step.ID)
			}
		}
		p.mu.Unlock()
		if err != nil {
			return err
		}
		for _, topic := range topicsOf(step.Records) {
			s.waiters.visible(topic, p.key.Name, 1)
			s.waiters.ends(topic, p.key.Name, s.now())
		}
	}
	return nil
}

// topicsOf returns the topics that records belong to, without repetition of neighbours.
func topicsOf(records []message.Record) []message.TopicID {
	var topics []message.TopicID
	for _, r := range records {
		if len(topics) == 0 || topics[len(topics)-1] != r.Topic {
			topics = append(topics, r.Topic)
		}
	}
	return topics
}

// allProgress returns every group of the shard.
func (s *Shard) allProgress() []*progress {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*progress, 0, len(s.mu.groups))
	for _, p := range s.mu.groups {
		all = append(all, p)
	}
	return all
}

func groupOf(h storelayer.Handle) group.Key {
	return group.Key{Name: h.Group, Generation: h.Generation}
}

// oneGroup reports whether all handles are of one group, as they nearly always are.
func oneGroup(handles []storelayer.Handle) bool {
	for _, h := range handles[1:] {
		if groupOf(h) != groupOf(handles[0]) {
			return false
		}
	}
	return true
}

func indexesByGroup(handles []storelayer.Handle) map[group.Key][]int {
	of := make(map[group.Key][]int)
	for i, h := range handles {
		of[groupOf(h)] = append(of[groupOf(h)], i)
	}
	return of
}

func byGroup(handles []storelayer.Handle) map[group.Key][]storelayer.Handle {
	of := make(map[group.Key][]storelayer.Handle)
	for _, h := range handles {
		of[groupOf(h)] = append(of[groupOf(h)], h)
	}
	return of
}

// errDeadLetterTopic says why a message could not leave its queue.
func errDeadLetterTopic(name string, err error) error {
	return fmt.Errorf("dead-letter topic of group %q: %w", name, err)
}
