package proxy

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// How long a queue whose cold messages could not be read is left alone before a read is tried again.
const (
	coldRetryFirst = 500 * time.Millisecond
	coldRetryMax   = 15 * time.Second
)

// A try to read is bounded by the end of the poll that makes it, yet gets at least coldProbeShortest and at
// most coldProbeLongest: a bucket that hangs must not hold a receive, a poll of no length must not starve the try.
const (
	coldProbeShortest = 200 * time.Millisecond
	coldProbeLongest  = 5 * time.Second
)

// A receive waits for the bucket until its poll ends, yet at least coldReadLeast, since an answer that is late beats one
// without messages, and at most coldReadMax. What was being fetched then goes on, and the next try finds it.
const (
	coldReadLeast = 2 * time.Second
	coldReadMax   = 10 * time.Second
)

// coldReadTime is how long a receive whose poll ends at end waits for the bucket.
func coldReadTime(end time.Time) time.Duration {
	return min(max(time.Until(end), coldReadLeast), coldReadMax)
}

// coldGate keeps the queues that must not be leased from, because a cold message of theirs could not be
// read. It is safe for concurrent use; its zero value is open.
type coldGate struct {
	closed atomic.Int32 // how many queues, so that the common case takes no lock

	mu struct {
		sync.Mutex
		queues map[message.Queue]*closedQueue
	}
}

// coldPlace is a message that could not be read.
type coldPlace struct {
	shard  storelayer.Shard
	offset message.Offset
	seal   uint64
}

// closedQueue is a queue that must not be leased from until its place can be read.
type closedQueue struct {
	place   coldPlace
	delay   time.Duration
	next    time.Time // of the next try
	probing bool      // one receive is trying
}

// close closes a queue until a read of the place works; true if it was open.
func (g *coldGate) close(q message.Queue, place coldPlace, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.queues[q] != nil {
		return false
	}
	if g.mu.queues == nil {
		g.mu.queues = map[message.Queue]*closedQueue{}
	}
	g.mu.queues[q] = &closedQueue{place: place, delay: coldRetryFirst, next: now.Add(coldRetryFirst)}
	g.closed.Add(1)
	return true
}

// blocked reports whether a queue is closed.
func (g *coldGate) blocked(q message.Queue) bool {
	if g.closed.Load() == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.queues[q] != nil
}

// open returns those of a topic's queues that are open; the slice itself if all are.
func (g *coldGate) open(topic message.TopicID, queues []message.QueueID) []message.QueueID {
	if g.closed.Load() == 0 {
		return queues
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := make([]message.QueueID, 0, len(queues))
	for _, id := range queues {
		if g.mu.queues[message.Queue{Topic: topic, ID: id}] == nil {
			out = append(out, id)
		}
	}
	return out
}

// due claims one closed queue of a topic whose time to try has come. It also returns when the next try of
// any of them is due, zero if none is closed.
func (g *coldGate) due(topic message.TopicID, now time.Time) (q message.Queue, place coldPlace, claimed bool, next time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for at, c := range g.mu.queues {
		switch {
		case at.Topic != topic:
		case c.probing:
			if retry := now.Add(coldRetryFirst); next.IsZero() || retry.Before(next) {
				next = retry // look again whether the other one's try has worked
			}
		case !now.Before(c.next):
			c.probing = true
			return at, c.place, true, time.Time{}
		case next.IsZero() || c.next.Before(next):
			next = c.next
		}
	}
	return message.Queue{}, coldPlace{}, false, next
}

// tried notes the outcome of a claimed try.
func (g *coldGate) tried(q message.Queue, worked bool, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.mu.queues[q]
	if worked {
		delete(g.mu.queues, q)
		g.closed.Add(-1)
		return
	}
	c.probing = false
	c.delay = min(2*c.delay, coldRetryMax)
	c.next = now.Add(c.delay)
}

// closeQueue stops leases from a queue whose cold message could not be read, with an alarm.
func (p *Proxy) closeQueue(q message.Queue, place coldPlace, cause error) {
	if p.cold.close(q, place, time.Now()) {
		p.metrics.coldClosed.Inc()
		p.log.Error("history cannot be read, queue is not consumed until it can", "queue", q, "offset", place.offset, "err", cause)
	}
}

// tryClosedQueues reads again where a queue of the topic was closed and its time has come, and opens it
// if that works. It returns when the next try is due, zero if no queue of the topic is closed.
func (p *Proxy) tryClosedQueues(ctx context.Context, topic message.TopicID, end time.Time) time.Time {
	for p.cold.closed.Load() > 0 && ctx.Err() == nil {
		now := time.Now()
		q, place, claimed, next := p.cold.due(topic, now)
		if !claimed {
			return next
		}
		probe, cancel := context.WithTimeout(ctx, min(max(end.Sub(now), coldProbeShortest), coldProbeLongest))
		_, err := p.readHistory(probe, place.shard, q, place.offset, 1, LargeBody, place.seal)
		cancel()
		worked := err == nil || errors.Is(err, ErrGone)
		p.cold.tried(q, worked, time.Now())
		if worked {
			p.metrics.coldClosed.Dec()
			p.log.Info("history can be read again", "queue", q, "offset", place.offset)
		}
	}
	return time.Time{}
}
