package shard

import (
	"math"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/message"
)

// waiters parks long polls until their topic gets a message or something of their group becomes visible.
//
// One arrival wakes one poll of each group, not all of them: sixteen polls that race for one message
// cost fifteen empty leases. A poll that is woken and cannot use the wake-up hands it on.
//
// Leases that end wake polls by an alarm that each poll keeps for itself. A lease that is made, or moved, while polls
// are parked tells those whose alarm would come too late.
type waiters struct {
	mu struct {
		sync.Mutex
		topics map[message.TopicID]*topicWaiters
	}
}

// topicWaiters holds the parked polls of one topic by group, the longest waiting first.
type topicWaiters struct {
	arrivals uint64 // from 1, grows with every arrival; a poll that saw another count, as 0 always is, does not park
	groups   map[string][]*waiter
}

// waiter is one parked poll.
type waiter struct {
	topic message.TopicID
	group string
	woken chan struct{} // closed by the one who takes it off the list
	look  chan struct{} // holds a token: a lease may end before the alarm
	alarm int64         // when it looks by itself, Unix milliseconds; guarded by waiters.mu
}

func newWaiters() *waiters {
	w := &waiters{}
	w.mu.topics = make(map[message.TopicID]*topicWaiters)
	return w
}

// token returns the count of arrivals of a topic. Read it before looking for messages.
func (w *waiters) token(topic message.TopicID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.topicLocked(topic).arrivals
}

// park adds a poll unless something arrived after its token was read; then it returns nil.
func (w *waiters) park(topic message.TopicID, group string, token uint64) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topicLocked(topic)
	if t.arrivals != token {
		return nil
	}
	p := &waiter{topic: topic, group: group, woken: make(chan struct{}), look: make(chan struct{}, 1), alarm: math.MaxInt64}
	t.groups[group] = append(t.groups[group], p)
	return p
}

// setAlarm says when a poll looks by itself, in Unix milliseconds. Whoever is told of an earlier end in the
// meantime finds the token in look.
func (w *waiters) setAlarm(p *waiter, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.alarm = at
}

// ends says that a lease of a group ends at an instant, in Unix milliseconds, so that its polls look by then.
func (w *waiters) ends(topic message.TopicID, group string, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mu.topics[topic]
	if t == nil {
		return
	}
	for _, p := range t.groups[group] {
		if p.alarm <= at {
			continue
		}
		p.alarm = at
		select {
		case p.look <- struct{}{}:
		default: // it has not looked yet
		}
	}
}

// leave takes a poll off the list. If it was woken in the meantime and does not use that, the next one of
// its group is woken instead.
func (w *waiters) leave(p *waiter, unused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mu.topics[p.topic]
	if t == nil {
		return // the topic has ended
	}
	parked := t.groups[p.group]
	if i := slices.Index(parked, p); i >= 0 {
		t.setLocked(p.group, slices.Delete(parked, i, i+1))
		return
	}
	if unused {
		t.wakeLocked(p.group, 1)
	}
}

// arrived wakes up to n polls of every group that waits for the topic.
func (w *waiters) arrived(topic message.TopicID, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topicLocked(topic)
	t.arrivals++
	for group := range t.groups {
		t.wakeLocked(group, n)
	}
}

// visible wakes up to n polls of one group: something of it can be leased again. The count of arrivals
// grows, so that a poll of the group between its lease and its wait sees it too.
func (w *waiters) visible(topic message.TopicID, group string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topicLocked(topic)
	t.arrivals++
	t.wakeLocked(group, n)
}

// forget drops the count of a topic that ended and wakes its polls, which then find it gone.
func (w *waiters) forget(topic message.TopicID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.mu.topics[topic]
	if t == nil {
		return
	}
	for group, parked := range t.groups {
		t.wakeLocked(group, len(parked))
	}
	delete(w.mu.topics, topic)
}

func (w *waiters) topicLocked(topic message.TopicID) *topicWaiters {
	t := w.mu.topics[topic]
	if t == nil {
		t = &topicWaiters{arrivals: 1, groups: make(map[string][]*waiter)}
		w.mu.topics[topic] = t
	}
	return t
}

func (t *topicWaiters) wakeLocked(group string, n int) {
	parked := t.groups[group]
	n = min(n, len(parked))
	for _, p := range parked[:n] {
		close(p.woken)
	}
	t.setLocked(group, slices.Delete(parked, 0, n))
}

func (t *topicWaiters) setLocked(group string, parked []*waiter) {
	if len(parked) == 0 {
		delete(t.groups, group)
		return
	}
	t.groups[group] = parked
}
