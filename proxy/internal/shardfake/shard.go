// Package shardfake is a shard in memory, for the tests of what stands in front of one.
//
// It keeps the contract of storelayer.Shard in the simplest way: one lock, maps, and a wake-up of
// everybody at every change. Nothing is durable. Tests can move messages to where only the bucket has
// them ([Shard.Trim]), read them there ([Shard.Read]) and make calls fail ([Shard.Fail]).
package shardfake

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// Shard is a shard in memory. It is safe for concurrent use.
type Shard struct {
	id message.ShardID

	mu struct {
		sync.Mutex
		queues  map[message.Queue]*queue
		groups  map[groupQueue]*progress
		dead    []message.Located
		alive   map[string]time.Time
		lease   uint64
		changes uint64
		changed chan struct{} // closed and made anew at every change
		fail    map[string]error
		calls   map[string]int
	}
}

type queue struct {
	messages   [][]byte
	times      []int64
	first      message.Offset
	firstLocal message.Offset
}

type groupQueue struct {
	group      string
	generation uint32
	queue      message.Queue
}

type progress struct {
	next      message.Offset // never leased so far
	committed message.Offset
	has       bool // an offset was committed
	leases    map[message.Offset]*lease
	settled   map[message.Offset]bool
}

type lease struct {
	number   uint64
	deadline time.Time
	attempt  uint16 // deliveries so far
	client   string // of a lease with renewal
}

// New returns an empty shard.
func New(id message.ShardID) *Shard {
	s := &Shard{id: id}
	s.mu.queues = map[message.Queue]*queue{}
	s.mu.groups = map[groupQueue]*progress{}
	s.mu.alive = map[string]time.Time{}
	s.mu.changed = make(chan struct{})
	s.mu.fail = map[string]error{}
	s.mu.calls = map[string]int{}
	return s
}

// Fail makes every further call of a method fail, until err is nil.
func (s *Shard) Fail(method string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fail[method] = err
}

// Calls returns how often a method was called.
func (s *Shard) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.calls[method]
}

// Count returns how many messages the shard has ever stored.
func (s *Shard) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, q := range s.mu.queues {
		n += len(q.messages)
	}
	return n
}

// Dead returns what was dead-lettered.
func (s *Shard) Dead() []message.Located {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.dead)
}

// Clients returns the clients that were reported alive and have not ended.
func (s *Shard) Clients() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for c := range s.mu.alive {
		out = append(out, c)
	}
	slices.Sort(out)
	return out
}

// Trim leaves the messages before an offset to the bucket only.
func (s *Shard) Trim(q message.Queue, firstLocal message.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueLocked(q).firstLocal = firstLocal
}

// Expire drops the messages before an offset from every tier.
func (s *Shard) Expire(q message.Queue, first message.Offset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queueLocked(q).first = first
}

// Read returns what the bucket has of a queue: the messages before its first local offset.
func (s *Shard) Read(q message.Queue, from message.Offset, limit int) []message.Located {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.queueLocked(q)
	var out []message.Located
	for o := from; o < in.firstLocal && len(out) < limit; o++ {
		out = append(out, message.Located{Queue: q, Offset: o, Stored: slices.Clone(in.messages[o])})
	}
	return out
}

// ColdAt returns the first offset that the bucket has, stored at or after t.
func (s *Shard) ColdAt(q message.Queue, t int64) (message.Offset, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.queueLocked(q)
	for o := in.first; o < in.firstLocal; o++ {
		if in.times[o] >= t {
			return o, true
		}
	}
	return 0, false
}

// enterLocked counts a call and returns the failure that a test wants of it.
func (s *Shard) enterLocked(method string) error {
	s.mu.calls[method]++
	return s.mu.fail[method]
}

func (s *Shard) queueLocked(q message.Queue) *queue {
	if s.mu.queues[q] == nil {
		s.mu.queues[q] = &queue{}
	}
	return s.mu.queues[q]
}

func (s *Shard) progressLocked(group string, generation uint32, q message.Queue) *progress {
	key := groupQueue{group, generation, q}
	if s.mu.groups[key] == nil {
		s.mu.groups[key] = &progress{leases: map[message.Offset]*lease{}, settled: map[message.Offset]bool{}}
	}
	return s.mu.groups[key]
}

func (s *Shard) changedLocked() {
	s.mu.changes++
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// ID returns the shard's number.
func (s *Shard) ID() message.ShardID { return s.id }

var storeHost = netip.MustParseAddrPort("127.0.0.1:10911")

// Append stores messages.
func (s *Shard) Append(_ context.Context, req *storelayer.AppendRequest) ([]storelayer.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Append"); err != nil {
		return nil, err
	}
	var out []storelayer.Appended
	now := time.Now().UnixMilli()
	for _, m := range req.Messages {
		q := s.queueLocked(m.Queue)
		m.Offset, m.StoreTime, m.StoreHost = message.Offset(len(q.messages)), now, storeHost
		q.messages = append(q.messages, m.AppendStored(nil))
		q.times = append(q.times, now)
		out = append(out, storelayer.Appended{Offset: m.Offset, StoreTime: now})
	}
	s.changedLocked()
	return out, nil
}

// Lease leases due messages first, then new ones.
func (s *Shard) Lease(_ context.Context, req *storelayer.LeaseRequest) (storelayer.Leased, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Lease"); err != nil {
		return storelayer.Leased{}, err
	}
	out := storelayer.Leased{Token: s.mu.changes, Tier: storelayer.TierState{SealSequence: 1}}
	room := req.MaxBytes
	for _, id := range req.Queues {
		q := message.Queue{Topic: req.Topic, ID: id}
		in, p := s.queueLocked(q), s.progressLocked(req.Group, req.Generation, q)
		for _, offset := range p.candidates(in, time.Now()) {
			if len(out.Deliveries) == req.Max || room <= 0 {
				return out, nil
			}
			if offset >= p.next {
				p.next = offset + 1
			}
			local := offset >= in.firstLocal
			if local && !req.Filter.MatchTag(tagOf(in.messages[offset])) {
				p.settled[offset] = true
				continue
			}
			l := p.leases[offset]
			if l == nil {
				l = &lease{}
				p.leases[offset] = l
			}
			if int(l.attempt) >= req.MaxAttempts {
				s.mu.dead = append(s.mu.dead, message.Located{Queue: q, Offset: offset, Stored: in.messages[offset]})
				p.settle(offset)
				continue
			}
			if local && len(out.Deliveries) > 0 && len(in.messages[offset]) > room {
				if l.attempt == 0 {
					delete(p.leases, offset)
					p.next = offset
				}
				return out, nil
			}
			s.mu.lease++
			l.number, l.deadline = s.mu.lease, time.Now().Add(req.Invisible)
			l.attempt++
			l.client = ""
			if req.AutoRenew {
				l.client, l.deadline = req.Client, time.Now().Add(3*time.Hour)
			}
			d := storelayer.Delivery{Handle: storelayer.Handle{
				Shard: s.id, Queue: q, Offset: offset, Group: req.Group, Generation: req.Generation, Epoch: 1,
				Lease: l.number, Attempt: l.attempt, Deadline: l.deadline.UnixMilli(),
			}}
			if local {
				d.Record = slices.Clone(in.messages[offset])
				room -= len(d.Record)
			}
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	return out, nil
}

// enough bounds the offsets that one lease looks at.
const enough = 1024

// candidates returns the offsets that could be leased, those that are due again first.
func (p *progress) candidates(in *queue, now time.Time) []message.Offset {
	var out []message.Offset
	for o, l := range p.leases {
		if !now.Before(l.deadline) {
			out = append(out, o)
		}
	}
	slices.Sort(out)
	for o := max(p.next, in.first); o < message.Offset(len(in.messages)) && len(out) < enough; o++ {
		if !p.settled[o] && p.leases[o] == nil {
			out = append(out, o)
		}
	}
	return out
}

func (p *progress) settle(o message.Offset) {
	delete(p.leases, o)
	p.settled[o] = true
}

func tagOf(stored []byte) string {
	tag, _ := message.Property(message.Stored(stored).Properties(), message.PropertyTag)
	return string(tag)
}

// Wait waits for a change behind the token, or for a lease of the group to end.
func (s *Shard) Wait(ctx context.Context, req *storelayer.WaitRequest) error {
	s.mu.Lock()
	err := s.enterLocked("Wait")
	changed, seen := s.mu.changed, s.mu.changes
	var due <-chan time.Time
	for key, p := range s.mu.groups {
		if key.group != req.Group || key.queue.Topic != req.Topic || !slices.Contains(req.Queues, key.queue.ID) {
			continue
		}
		for _, l := range p.leases {
			timer := time.NewTimer(time.Until(l.deadline))
			defer timer.Stop()
			if due == nil {
				due = timer.C
			}
		}
	}
	s.mu.Unlock()
	if err != nil || seen != req.Token {
		return err
	}
	select {
	case <-changed:
		return nil
	case <-due:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Release gives leases back as if they had not been.
func (s *Shard) Release(_ context.Context, handles []storelayer.Handle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Release"); err != nil {
		return err
	}
	for _, h := range handles {
		if p, l := s.liveLocked(h); l != nil {
			l.attempt--
			l.deadline, l.client = time.Time{}, ""
			l.number = 0
			_ = p
		}
	}
	s.changedLocked()
	return nil
}

// liveLocked returns the lease that a handle names, nil if it is over.
func (s *Shard) liveLocked(h storelayer.Handle) (*progress, *lease) {
	p := s.progressLocked(h.Group, h.Generation, h.Queue)
	if l := p.leases[h.Offset]; l != nil && l.number == h.Lease {
		return p, l
	}
	return p, nil
}

// Ack settles messages.
func (s *Shard) Ack(_ context.Context, handles []storelayer.Handle) ([]error, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Ack"); err != nil {
		return nil, err
	}
	out := make([]error, len(handles))
	for i, h := range handles {
		p, l := s.liveLocked(h)
		switch {
		case p.settled[h.Offset]:
		case l == nil:
			out[i] = fmt.Errorf("%w: its lease is over", storelayer.ErrInvalidHandle)
		default:
			p.settle(h.Offset)
		}
	}
	return out, nil
}

// Change moves the end of a lease.
func (s *Shard) Change(_ context.Context, req *storelayer.ChangeRequest) (storelayer.Handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Change"); err != nil {
		return storelayer.Handle{}, err
	}
	_, l := s.liveLocked(req.Handle)
	if l == nil {
		return storelayer.Handle{}, fmt.Errorf("%w: its lease is over", storelayer.ErrInvalidHandle)
	}
	l.deadline, l.client = time.Now().Add(req.Invisible), ""
	if req.Uncounted {
		l.attempt--
	}
	s.changedLocked()
	h := req.Handle
	h.Deadline = l.deadline.UnixMilli()
	return h, nil
}

// DeadLetter moves a message away.
func (s *Shard) DeadLetter(_ context.Context, h storelayer.Handle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("DeadLetter"); err != nil {
		return err
	}
	p, l := s.liveLocked(h)
	switch {
	case p.settled[h.Offset]:
		return nil
	case l == nil:
		return fmt.Errorf("%w: its lease is over", storelayer.ErrInvalidHandle)
	}
	s.mu.dead = append(s.mu.dead, message.Located{Queue: h.Queue, Offset: h.Offset, Stored: s.queueLocked(h.Queue).messages[h.Offset]})
	p.settle(h.Offset)
	return nil
}

// Alive notes who lives.
func (s *Shard) Alive(_ context.Context, clients []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range clients {
		s.mu.alive[c] = time.Now()
	}
	return s.enterLocked("Alive")
}

// Gone makes a client's renewed leases visible.
func (s *Shard) Gone(_ context.Context, client string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.alive, client)
	for _, p := range s.mu.groups {
		for _, l := range p.leases {
			if l.client == client {
				l.deadline, l.client = time.Time{}, ""
			}
		}
	}
	s.changedLocked()
	return s.enterLocked("Gone")
}

// Fetch reads local messages.
func (s *Shard) Fetch(_ context.Context, req *storelayer.FetchRequest) (storelayer.Fetched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.enterLocked("Fetch"); err != nil {
		return storelayer.Fetched{}, err
	}
	in := s.queueLocked(req.Queue)
	out := storelayer.Fetched{
		First: in.first, FirstLocal: in.firstLocal, Next: message.Offset(len(in.messages)),
		Token: s.mu.changes, Tier: storelayer.TierState{SealSequence: 1},
	}
	if req.Offset < in.first || req.Offset > out.Next {
		return out, &storelayer.OffsetOutOfRangeError{Queue: req.Queue, Offset: req.Offset, First: in.first, Next: out.Next}
	}
	for o := req.Offset; o >= in.firstLocal && o < out.Next && len(out.Messages) < req.Max; o++ {
		out.Messages = append(out.Messages, message.Located{Queue: req.Queue, Offset: o, Stored: slices.Clone(in.messages[o])})
	}
	return out, nil
}

// Queue returns the state of a queue.
func (s *Shard) Queue(_ context.Context, q message.Queue) (storelayer.QueueState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stateLocked(q), s.enterLocked("Queue")
}

func (s *Shard) stateLocked(q message.Queue) storelayer.QueueState {
	in := s.queueLocked(q)
	return storelayer.QueueState{
		Queue: q, First: in.first, FirstLocal: in.firstLocal, Next: message.Offset(len(in.messages)),
		Tier: storelayer.TierState{SealSequence: 1},
	}
}

// OffsetAt finds the first local offset stored at or after t.
func (s *Shard) OffsetAt(_ context.Context, q message.Queue, t int64) (message.Offset, storelayer.QueueState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, state := s.queueLocked(q), s.stateLocked(q)
	for o := in.firstLocal; o < state.Next; o++ {
		if in.times[o] >= t {
			return o, state, s.enterLocked("OffsetAt")
		}
	}
	return state.Next, state, s.enterLocked("OffsetAt")
}

// Lookup finds local messages by id or key.
func (s *Shard) Lookup(_ context.Context, req *storelayer.LookupRequest) ([]message.Located, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []message.Located
	for q, in := range s.mu.queues {
		for o := message.Offset(len(in.messages)) - 1; q.Topic == req.Topic && o >= in.firstLocal; o-- {
			if Matches(in.messages[o], req.Kind, req.Text) && len(out) < req.Max {
				out = append(out, message.Located{Queue: q, Offset: o, Stored: slices.Clone(in.messages[o])})
			}
		}
	}
	return out, s.enterLocked("Lookup")
}

// Commit records an offset.
func (s *Shard) Commit(_ context.Context, req *storelayer.ResetRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progressLocked(req.Group, req.Generation, req.Queue)
	p.committed, p.has = max(p.committed, req.Offset), true
	return s.enterLocked("Commit")
}

// Committed returns a committed offset.
func (s *Shard) Committed(_ context.Context, group string, generation uint32, q message.Queue) (message.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.progressLocked(group, generation, q)
	if !p.has {
		return 0, storelayer.ErrOffsetNotFound
	}
	return p.committed, s.enterLocked("Committed")
}

// Reset puts a group to an offset.
func (s *Shard) Reset(_ context.Context, req *storelayer.ResetRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.groups, groupQueue{req.Group, req.Generation, req.Queue})
	s.progressLocked(req.Group, req.Generation, req.Queue).next = req.Offset
	return s.enterLocked("Reset")
}

// Groups is not asked for by a proxy.
func (s *Shard) Groups(context.Context, string) ([]storelayer.GroupState, error) { return nil, nil }

// DeleteGroup is not asked for by a proxy.
func (s *Shard) DeleteGroup(context.Context, string, uint32) error { return nil }

// DeleteTopic is not asked for by a proxy.
func (s *Shard) DeleteTopic(context.Context, message.TopicID) error { return nil }

// Matches reports whether a stored message has a key or an id.
func Matches(stored []byte, kind message.IndexKind, text string) bool {
	name := message.PropertyKeys
	if kind == message.IndexByID {
		name = message.PropertyMessageID
	}
	value, _ := message.Property(message.Stored(stored).Properties(), name)
	return string(value) == text
}
