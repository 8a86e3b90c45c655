package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/proxy"
)

// pastSent is what was sent, and where it was first seen: what every later read must repeat.
type pastSent struct {
	rig    *rig
	seed   uint64
	queues []*pastQueue

	mu struct {
		sync.RWMutex
		byID map[string]*sent // from before its send on
	}
}

// sent is a message as its producer made it, and where it came to lie.
type sent struct {
	topic, id, tag string
	keys           []string
	size           int
	hash           uint64 // of the body

	answered  atomic.Int64 // the offset that the send answered; -1 before
	at        atomic.Pointer[spot]
	position  message.Position // set once it is recorded
	storeTime int64            // likewise, Unix ms
}

// spot is a place in a queue.
type spot struct {
	queue  int
	offset int64
}

// pastQueue is a queue as its recorder, who follows its end, has seen it.
type pastQueue struct {
	topic string
	id    int
	queue message.Queue

	mu struct {
		sync.RWMutex
		recorded []*sent // by offset
	}
}

// seen is a message as a read returned it.
type seen struct {
	topic, id, tag string
	keys           []string
	queue          int
	offset         int64
	storeTime      int64 // Unix ms
	body           []byte
}

func newPast(r *rig, seed uint64, topics map[string]int) *pastSent {
	p := &pastSent{rig: r, seed: seed}
	p.mu.byID = make(map[string]*sent)
	for topic, queues := range topics {
		r.createTopic(topic, uint32(queues))
		for id := range queues {
			p.queues = append(p.queues, &pastQueue{topic: topic, id: id, queue: r.queueOf(topic, id)})
		}
	}
	slices.SortFunc(p.queues, func(a, b *pastQueue) int {
		return strings.Compare(fmt.Sprint(a.topic, a.id), fmt.Sprint(b.topic, b.id))
	})
	return p
}

func (p *pastSent) queuesOf(topic string) []*pastQueue {
	var out []*pastQueue
	for _, q := range p.queues {
		if q.topic == topic {
			out = append(out, q)
		}
	}
	return out
}

func (q *pastQueue) recorded() []*sent {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return slices.Clip(q.mu.recorded)
}

// recordedOf returns all recorded messages of a topic.
func (p *pastSent) recordedOf(topic string) []*sent {
	var all []*sent
	for _, q := range p.queuesOf(topic) {
		all = append(all, q.recorded()...)
	}
	return all
}

const (
	pastKeys    = 200       // different keys of a topic: a key has messages in every tier
	pastMaxBody = 300 << 10 // bytes
)

// make makes the n-th message of a producer. Its body begins with its id, as far as it fits.
func (p *pastSent) make(rng *rand.Rand, topic string, producer, n int) (*sent, *pb.Message) {
	m := &sent{topic: topic, id: fmt.Sprintf("%s-%d-%06d", topic, producer, n), tag: []string{"a", "b", ""}[rng.IntN(3)]}
	m.answered.Store(-1)
	for range rng.IntN(3) {
		m.keys = append(m.keys, fmt.Sprintf("k%d", rng.IntN(pastKeys)))
	}
	slices.Sort(m.keys)
	m.keys = slices.Compact(m.keys)
	switch c := rng.IntN(100); {
	case c < 70:
		m.size = 1 + rng.IntN(512)
	case c < 92:
		m.size = 1 + rng.IntN(8<<10)
	case c < 98:
		m.size = 1 + rng.IntN(64<<10)
	default:
		m.size = 1 + rng.IntN(pastMaxBody)
	}
	body := make([]byte, m.size)
	at := copy(body, m.id)
	fill, spread := byte(rng.Uint32()), rng.IntN(2) == 0 // every second body compresses well
	for i := at; i < len(body); i++ {
		if spread {
			fill = fill*167 + byte(i>>3) + 13
		}
		body[i] = fill
	}
	m.hash = xxhash.Sum64(body)
	p.mu.Lock()
	p.mu.byID[m.id] = m
	p.mu.Unlock()
	out := &pb.Message{
		Topic: &pb.Resource{Name: topic}, Body: body,
		SystemProperties: &pb.SystemProperties{MessageId: m.id, Keys: m.keys, BodyEncoding: pb.Encoding_IDENTITY, MessageType: pb.MessageType_NORMAL},
	}
	if m.tag != "" {
		out.SystemProperties.Tag = &m.tag
	}
	return m, out
}

// produce sends messages, one or some at a time, each paid for by a token, until tokens is closed.
func (p *pastSent) produce(ctx context.Context, producer int, tokens <-chan struct{}) error {
	rng := rand.New(rand.NewPCG(p.seed, uint64(producer)))
	for n := 0; ; {
		req, made := &pb.SendMessageRequest{}, []*sent(nil)
		topic := p.queues[rng.IntN(len(p.queues))].topic
		for range 1 + rng.IntN(4)*rng.IntN(2) {
			if _, more := <-tokens; !more {
				break
			}
			m, wire := p.make(rng, topic, producer, n)
			made, req.Messages, n = append(made, m), append(req.Messages, wire), n+1
		}
		if len(made) == 0 {
			return nil
		}
		res, err := p.rig.client.SendMessage(as(ctx, "producer"), req)
		if err != nil || res.GetStatus().GetCode() != pb.Code_OK || len(res.GetEntries()) != len(made) {
			return fmt.Errorf("send of %d messages from %s on: %v, %w", len(made), made[0].id, res.GetStatus(), err)
		}
		for i, entry := range res.GetEntries() {
			made[i].answered.Store(entry.GetOffset())
		}
	}
}

// record follows the end of a queue and keeps where each message lies, until ctx ends.
func (p *pastSent) record(ctx context.Context, q *pastQueue) error {
	topic, err := p.rig.catalog.TopicByName(ctx, q.topic)
	if err != nil {
		return err
	}
	all, err := filter.CompileTag("*")
	if err != nil {
		return err
	}
	for next := message.Offset(0); ; {
		got, err := p.rig.proxy.Pull(ctx, &proxy.PullRequest{Topic: topic, Queue: message.QueueID(q.id), Offset: next, Filter: all, Max: 32, Poll: time.Second})
		select {
		case <-ctx.Done(): // the readers have ended
			return nil
		default:
		}
		if err != nil {
			return fmt.Errorf("follow queue %d of %s at %d: %w", q.id, q.topic, next, err)
		}
		for _, located := range got.Messages {
			if located.Offset != next {
				return fmt.Errorf("queue %d of %s: offset %d follows %d", q.id, q.topic, located.Offset, next-1)
			}
			next++
			if err := p.keep(q, located); err != nil {
				return err
			}
		}
	}
}

// keep records one message, which must be that of its id.
func (p *pastSent) keep(q *pastQueue, located message.Located) error {
	d, err := message.DecodeStored(located.Stored)
	if err != nil {
		return err
	}
	property := func(key string) string {
		value, _ := message.Property(d.Properties, key)
		return string(value)
	}
	m, err := p.check(seen{
		topic: d.Topic, id: property(message.PropertyMessageID), tag: property(message.PropertyTag), keys: strings.Fields(property(message.PropertyKeys)),
		queue: q.id, offset: int64(located.Offset), storeTime: d.StoreTime, body: d.Body,
	})
	if err != nil {
		return err
	}
	m.position, m.storeTime = message.Position(d.PhysicalOffset)&(1<<47-1), d.StoreTime
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.recorded = append(q.mu.recorded, m)
	return nil
}

// check compares what a read returned with what was sent, and with what other reads found at that place.
func (p *pastSent) check(s seen) (*sent, error) {
	p.mu.RLock()
	m := p.mu.byID[s.id]
	p.mu.RUnlock()
	where := fmt.Sprintf("%s, queue %d, offset %d, id %q", s.topic, s.queue, s.offset, s.id)
	switch {
	case m == nil:
		return nil, fmt.Errorf("%s: nobody sent that", where)
	case m.topic != s.topic:
		return nil, fmt.Errorf("%s: it was sent to %s", where, m.topic)
	case len(s.body) != m.size || xxhash.Sum64(s.body) != m.hash:
		return nil, fmt.Errorf("%s: other bytes than were sent: %d of them, not %d", where, len(s.body), m.size)
	case s.tag != m.tag || !slices.Equal(s.keys, m.keys):
		return nil, fmt.Errorf("%s: tag %q and keys %q, sent with %q and %q", where, s.tag, s.keys, m.tag, m.keys)
	}
	here := &spot{queue: s.queue, offset: s.offset}
	if !m.at.CompareAndSwap(nil, here) && *m.at.Load() != *here {
		return nil, fmt.Errorf("%s: elsewhere it was seen in queue %d at %d", where, m.at.Load().queue, m.at.Load().offset)
	}
	for _, q := range p.queuesOf(s.topic) {
		recorded := q.recorded()
		if q.id != s.queue || s.offset >= int64(len(recorded)) {
			continue
		}
		if there := recorded[s.offset]; there != m || there.storeTime != s.storeTime {
			return nil, fmt.Errorf("%s, stored at %d: earlier it was %q, stored at %d", where, s.storeTime, there.id, there.storeTime)
		}
	}
	return m, nil
}

// ofWire is a message as gRPC clients get it.
func ofWire(m *pb.Message) seen {
	p := m.GetSystemProperties()
	return seen{
		topic: m.GetTopic().GetName(), id: p.GetMessageId(), tag: p.GetTag(), keys: slices.Clone(p.GetKeys()), queue: int(p.GetQueueId()),
		offset: p.GetQueueOffset(), storeTime: p.GetStoreTimestamp().AsTime().UnixMilli(), body: m.GetBody(),
	}
}

// ofTool is a message as the admin API shows it.
func ofTool(m *adminv1.Message) seen {
	return seen{
		topic: m.GetTopic(), id: m.GetMessageId(), tag: m.GetTag(), keys: slices.Clone(m.GetKeys()), queue: int(m.GetQueue()),
		offset: m.GetOffset(), storeTime: m.GetStoreTime().AsTime().UnixMilli(), body: m.GetBody(),
	}
}

// isRecorded reports whether the recorder has seen m, so that its position and store time may be read.
func (p *pastSent) isRecorded(m *sent) bool {
	at := m.at.Load()
	if at == nil {
		return false
	}
	for _, q := range p.queuesOf(m.topic) {
		if q.id == at.queue {
			return at.offset < int64(len(q.recorded()))
		}
	}
	return false
}

// waitRecorded waits until everything that was answered has been recorded, once the producers have ended, and
// checks that the answers were true and nothing else is there.
func (p *pastSent) waitRecorded() error {
	p.mu.RLock()
	total := len(p.mu.byID)
	p.mu.RUnlock()
	p.rig.waitFor("every message to be visible", func() bool {
		n := 0
		for _, q := range p.queues {
			n += len(q.recorded())
		}
		return n >= total
	})
	p.mu.RLock()
	defer p.mu.RUnlock()
	var errs []error
	for id, m := range p.mu.byID {
		if at := m.at.Load(); at == nil || at.offset != m.answered.Load() {
			errs = append(errs, fmt.Errorf("%s: the send answered offset %d, it lies at %+v", id, m.answered.Load(), at))
		}
	}
	return errors.Join(errs...)
}

// firstAt returns the first of a queue's recorded offsets that was stored at or after t.
func firstAt(recorded []*sent, t int64) int {
	return sort.Search(len(recorded), func(i int) bool { return recorded[i].storeTime >= t })
}
