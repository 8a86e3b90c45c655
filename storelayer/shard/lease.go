package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/group"
	"github.com/stratamq/stratamq/storelayer/queue"
)

// maxScans bounds how often one lease goes on behind messages that do not match.
const maxScans = 16

// Lease implements [storelayer.Shard].
func (s *Shard) Lease(ctx context.Context, req *storelayer.LeaseRequest) (storelayer.Leased, error) {
	answer, err := s.lease(ctx, req)
	if err != nil {
		// The wake-up that brought this poll here was for a message that is still there: the next one may take it.
		s.waiters.visible(req.Topic, req.Group, 1)
	}
	return answer, err
}

func (s *Shard) lease(ctx context.Context, req *storelayer.LeaseRequest) (storelayer.Leased, error) {
	if err := s.admit(ctx); err != nil {
		return storelayer.Leased{}, err
	}
	if err := checkGroup(req.Group); err != nil {
		return storelayer.Leased{}, err
	}
	if s.topicGone(req.Topic) {
		return storelayer.Leased{}, storelayer.ErrQueueNotFound
	}
	// The token comes first: what arrives behind it is for the next lease. The tier comes last, see tier.
	answer := storelayer.Leased{Token: s.waiters.token(req.Topic)}
	p := s.progressOf(group.Key{Name: req.Group, Generation: req.Generation})
	p.maxAttempts.Store(int64(req.MaxAttempts))
	l := leasing{shard: s, progress: p, req: req, answer: &answer, room: req.MaxBytes}
	for _, id := range req.Queues {
		if err := l.queue(ctx, message.Queue{Topic: req.Topic, ID: id}); err != nil {
			// What was leased before this queue failed is delivered; the error comes again.
			if len(answer.Deliveries) > 0 {
				break
			}
			return storelayer.Leased{}, err
		}
		if len(answer.Deliveries) >= req.Max || l.room <= 0 && len(answer.Deliveries) > 0 {
			break
		}
	}
	answer.Tier = s.tier()
	return answer, nil
}

// leasing is one lease on its way over the queues of a topic.
type leasing struct {
	shard    *Shard
	progress *progress
	req      *storelayer.LeaseRequest
	answer   *storelayer.Leased
	room     int // bytes of hot bodies that still fit
}

// queue leases from one queue what still fits.
func (l *leasing) queue(ctx context.Context, q message.Queue) error {
	for range maxScans {
		want := l.req.Max - len(l.answer.Deliveries)
		if want <= 0 || l.room <= 0 {
			return nil
		}
		d, deadline, number, err := l.decide(ctx, q, want)
		if err != nil {
			return err
		}
		if len(d.Exhausted) > 0 {
			l.shard.dead.wake()
		}
		if err := l.deliver(q, d.Leased, deadline, number); err != nil {
			return err
		}
		if !d.More {
			return nil
		}
	}
	// Matching messages may lie further on: the poll must come again and not park.
	l.answer.Token = 0
	return nil
}

// decide asks the group and appends what it decides. The records enter the log under the group's lock, so that
// they stand there in the order of the decisions.
func (l *leasing) decide(ctx context.Context, q message.Queue, want int) (d group.Decision, deadline int64, number uint64, err error) {
	s, p := l.shard, l.progress
	state, known := s.table.Queue(q)
	if !known {
		return group.Decision{}, 0, 0, nil
	}
	start, begun, err := l.start(ctx, state)
	if err != nil {
		return group.Decision{}, 0, 0, err
	}
	entries := entryCache{table: s.table, q: q}
	p.mu.Lock()
	defer p.mu.Unlock()
	if begun && !p.mu.Knows(q) {
		return group.Decision{}, 0, 0, nil // the topic has ended since
	}
	in := group.LeaseInput{
		Queue: q, Start: start, First: state.First, Next: state.Next,
		Max: want, MaxAttempts: s.maxAttempts(p),
		Deadline: s.now() + l.req.Invisible.Milliseconds(), Auto: l.req.AutoRenew, Client: l.req.Client,
		Lease: s.leases.Add(1),
	}
	if l.req.AutoRenew && s.clients.Horizon(l.req.Client) <= s.now() {
		// Asking is a sign of life, and a proxy's next report may be seconds away.
		s.clients.Report(s.now(), l.req.Client)
	}
	if !l.req.Filter.All() {
		in.Match = func(o message.Offset) bool { return entries.match(o, l.req.Filter.MatchHash) }
	}
	d = p.mu.Lease(s.moment(), &in)
	if d.Expired > 0 && s.opts.Events.Expired != nil {
		s.opts.Events.Expired(p.key.Name, q, d.Expired)
	}
	if d.Empty() {
		return d, d.Deadline, in.Lease, nil
	}
	// Nobody waits for the sync of a lease: if a power cut takes it, the message is simply delivered again.
	if err := s.submit(d.Step, nil, nil); err != nil {
		p.mu.Abort(d.ID)
		return group.Decision{}, 0, 0, err
	}
	if len(d.Leased) > 0 {
		end := d.Deadline
		if in.Auto {
			end = min(end, s.clients.Horizon(in.Client))
		}
		s.waiters.ends(q.Topic, p.key.Name, end)
	}
	return d, d.Deadline, in.Lease, nil
}

// start says whether the group has begun to read a queue, and else where it begins. That may take a read of the
// bucket, so it comes before the group's lock, which the shard's apply needs.
func (l *leasing) start(ctx context.Context, state queue.State) (start message.Offset, begun bool, err error) {
	l.progress.mu.Lock()
	begun = l.progress.mu.Knows(state.Queue)
	l.progress.mu.Unlock()
	if begun {
		return 0, true, nil
	}
	start, err = l.shard.startOffset(ctx, state, l.req.Start)
	return start, false, err
}

// deliver reads the bytes of leased offsets. What only the bucket has goes out without them; what turns out not
// to match by its text is settled; what does not fit, or cannot be read, is given back.
func (l *leasing) deliver(q message.Queue, leased []group.Delivery, deadline int64, number uint64) error {
	s := l.shard
	var mismatched, undelivered []storelayer.Handle
	var failed error
	for _, d := range leased {
		h := storelayer.Handle{
			Shard: s.id, Queue: q, Offset: d.Offset, Group: l.progress.key.Name, Generation: l.progress.key.Generation,
			Epoch: s.epoch, Lease: number, Attempt: d.Attempt, Deadline: deadline,
		}
		if l.room <= 0 || failed != nil {
			undelivered = append(undelivered, h)
			continue
		}
		stored, err := s.read(q, d.Offset)
		switch {
		case errors.Is(err, queue.ErrNotLocal):
			l.answer.Deliveries = append(l.answer.Deliveries, storelayer.Delivery{Handle: h})
			continue
		case err != nil:
			failed = err
			undelivered = append(undelivered, h)
			continue
		}
		if !l.req.Filter.All() && !l.req.Filter.MatchTag(tagOf(stored)) {
			mismatched = append(mismatched, h)
			continue
		}
		if len(stored) > l.room && len(l.answer.Deliveries) > 0 {
			l.room = 0
			undelivered = append(undelivered, h)
			continue
		}
		l.room -= len(stored)
		l.answer.Deliveries = append(l.answer.Deliveries, storelayer.Delivery{Handle: h, Record: stored})
	}
	if len(mismatched) > 0 {
		failed = errors.Join(failed, s.settleFiltered(l.progress, mismatched))
	}
	if len(undelivered) > 0 {
		failed = errors.Join(failed, s.release(l.progress, undelivered))
	}
	return failed
}

// settleFiltered settles leased messages that did not match after all. Nobody waits: if it is lost they are
// leased and filtered again.
func (s *Shard) settleFiltered(p *progress, handles []storelayer.Handle) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.mu.Settle(s.moment(), group.Filtered, handles)
	if out.Empty() {
		return nil
	}
	if err := s.submit(out.Step, nil, nil); err != nil {
		p.mu.Abort(out.ID)
		return err
	}
	return nil
}

// Release implements [storelayer.Shard].
func (s *Shard) Release(ctx context.Context, handles []storelayer.Handle) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	for key, of := range byGroup(handles) {
		// A group that is not known has no lease that could be given back.
		if p := s.knownProgress(key); p != nil {
			if err := s.release(p, of); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Shard) release(p *progress, handles []storelayer.Handle) error {
	p.mu.Lock()
	step := p.mu.Release(s.moment(), handles)
	if step.Empty() {
		p.mu.Unlock()
		return nil
	}
	err := s.submit(step, nil, nil)
	if err != nil {
		p.mu.Abort(step.ID)
	}
	p.mu.Unlock()
	if err != nil {
		return err
	}
	for _, topic := range topicsOf(step.Records) {
		s.waiters.visible(topic, p.key.Name, len(handles))
	}
	return nil
}

// Wait implements [storelayer.Shard].
func (s *Shard) Wait(ctx context.Context, req *storelayer.WaitRequest) error {
	if err := s.admit(ctx); err != nil {
		return err
	}
	w := s.waiters.park(req.Topic, req.Group, req.Token)
	if w == nil {
		return nil
	}
	used := false
	defer func() { s.waiters.leave(w, !used) }()
	if s.topicGone(req.Topic) {
		return nil // it ended before this poll was parked: nobody would wake it
	}
	timer := s.opts.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		// A lease that is made while this poll looks counts as earlier than what it has seen.
		s.waiters.setAlarm(w, math.MaxInt64)
		due, now := s.nextDue(req), s.now()
		s.waiters.setAlarm(w, due)
		if due <= now {
			used = true
			return nil
		}
		var dueC <-chan time.Time
		if due != math.MaxInt64 {
			timer.Reset(time.Duration(due-now) * time.Millisecond)
			dueC = timer.C()
		}
		select {
		case <-w.woken:
			used = true
			return nil
		case <-dueC:
		case <-w.look:
		case <-s.stopped:
			return s.admit(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// nextDue returns the earliest instant, in Unix milliseconds, at which a lease ends that the poll's next lease could
// take; math.MaxInt64 if there is none.
func (s *Shard) nextDue(req *storelayer.WaitRequest) int64 {
	earliest := int64(math.MaxInt64)
	p := s.knownProgress(group.Key{Name: req.Group, Generation: req.Generation})
	if p == nil {
		return earliest
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m := s.moment()
	for _, id := range req.Queues {
		if due, ok := p.mu.NextDue(m, message.Queue{Topic: req.Topic, ID: id}); ok {
			earliest = min(earliest, due)
		}
	}
	return earliest
}

// startOffset says where a group begins in a queue that it has never read.
func (s *Shard) startOffset(ctx context.Context, state queue.State, from storelayer.StartFrom) (message.Offset, error) {
	switch from.Policy {
	case storelayer.StartFirst:
		return state.First, nil
	case storelayer.StartLast:
		return state.Next, nil
	case storelayer.StartAtTime:
		return s.startAt(ctx, state.Queue, from.Time)
	case storelayer.StartAuto:
	}
	if state.First == state.Next {
		return state.First, nil
	}
	oldest, err := s.readAny(ctx, state.Queue, state.First)
	if err != nil {
		return 0, fmt.Errorf("age of the oldest message of queue %s: %w", state.Queue, err)
	}
	if s.now()-message.Stored(oldest).StoreTime() < autoStartAge.Milliseconds() {
		return state.First, nil
	}
	return state.Next, nil
}

// startAt finds the first offset in any tier that was stored at or after t.
func (s *Shard) startAt(ctx context.Context, q message.Queue, t int64) (message.Offset, error) {
	offset, state, err := s.OffsetAt(ctx, q, t)
	if err != nil || offset > state.FirstLocal || state.First >= state.FirstLocal {
		return offset, err
	}
	// Every local message is late enough; an older one in the bucket may be, too.
	low, high := state.First, offset
	for low < high {
		mid := low + (high-low)/2
		stored, err := s.readAny(ctx, state.Queue, mid)
		if err != nil {
			return 0, fmt.Errorf("store time of message %d of queue %s: %w", mid, state.Queue, err)
		}
		if message.Stored(stored).StoreTime() < t {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// autoStartAge is RocketMQ's: a queue younger than this is read from its beginning.
const autoStartAge = 72 * time.Hour

// tier says where the shard's local bytes begin. It is read behind the offsets that it goes with: a seal is told before
// its segment is trimmed, so whoever has seen a first local offset move gets a sequence that covers what moved.
func (s *Shard) tier() storelayer.TierState {
	return storelayer.TierState{SealSequence: s.sealSequence.Load()}
}

// moment is what a decision may know.
func (s *Shard) moment() group.Moment {
	return group.Moment{Now: s.now(), Epoch: s.epoch, Horizon: s.clients.Horizon, End: s.table.Next}
}

// entryCache reads consumeQueue entries in runs: a lease that filters asks for one after the other.
type entryCache struct {
	table *queue.Table
	q     message.Queue
	first message.Offset
	run   []message.Entry
}

// match asks a filter about the entry at an offset. An entry that is not local matches: whoever reads the
// message decides by its text.
func (c *entryCache) match(o message.Offset, matches func(uint32) bool) bool {
	if o < c.first || o >= c.first+message.Offset(len(c.run)) {
		run, err := c.table.Range(c.run[:0], c.q, o, 256)
		if err != nil || len(run) == 0 {
			c.run = c.run[:0]
			return true
		}
		c.first, c.run = o, run
	}
	return matches(c.run[o-c.first].TagHash)
}

// submit appends the records of a step, and the messages that move with it, without waiting; answer, which
// may be nil, gets the outcome after the sync.
func (s *Shard) submit(step group.Step, moved []message.Message, answer func(error)) error {
	lazy := answer == nil
	if lazy {
		answer = func(error) {}
	}
	b := &stateBatch{shard: s, records: step.Records, moved: moved}
	return logError(s.log.Submit(&commitlog.Request{Batch: b, Lazy: lazy, Done: answer}))
}

// tagOf returns the tag of a stored message, "" for none.
func tagOf(stored message.Stored) string {
	tag, _ := message.Property(stored.Properties(), message.PropertyTag)
	return string(tag)
}
