package proxy

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// route says where the queues of one topic lie. It is made once per version of the topic.
type route struct {
	name    string // of the topic
	version uint64
	shards  []shardQueues
	placed  []storelayer.Shard // the shard of queue i
	stats   *topicStats

	next atomic.Uint32 // the round robin of sends
	turn atomic.Uint32 // where the next lease begins
}

// shardQueues are the queues of a topic on one shard.
type shardQueues struct {
	shard  storelayer.Shard
	queues []message.QueueID // twice in a row, so that each rotation of them is a slice
}

// rotated returns the queues beginning with a different one for each turn.
func (s shardQueues) rotated(turn uint32) []message.QueueID {
	n := len(s.queues) / 2
	start := int(turn % uint32(n))
	return s.queues[start : start+n : start+n]
}

// QueueCount returns how many queues the topic has. A system topic has one on every shard.
func (p *Proxy) QueueCount(topic *meta.Topic) int {
	if topic.System() {
		return len(p.shards)
	}
	return topic.Queues
}

// route returns where the queues of a topic lie.
func (p *Proxy) route(topic *meta.Topic) (*route, error) {
	if known, ok := p.routes.Load(topic.ID); ok {
		if r := known.(*route); r.version == topic.Version {
			return r, nil
		}
	}
	r := &route{name: topic.Name, version: topic.Version, stats: p.metrics.topic(topic)}
	at := map[message.ShardID]int{}
	for i := range p.QueueCount(topic) {
		shard, err := p.place(topic, i)
		if err != nil {
			return nil, err
		}
		r.placed = append(r.placed, shard)
		n, ok := at[shard.ID()]
		if !ok {
			n = len(r.shards)
			at[shard.ID()] = n
			r.shards = append(r.shards, shardQueues{shard: shard})
		}
		r.shards[n].queues = append(r.shards[n].queues, message.QueueID(i))
	}
	for i := range r.shards {
		r.shards[i].queues = append(r.shards[i].queues, r.shards[i].queues...)
	}
	p.routes.Store(topic.ID, r)
	return r, nil
}

// place returns the shard of a topic's queue i. That of a system topic's is the i-th of the cluster's list.
func (p *Proxy) place(topic *meta.Topic, i int) (storelayer.Shard, error) {
	if topic.System() {
		return p.shards[i], nil
	}
	if i >= len(topic.Shards) {
		return nil, fmt.Errorf("%w: queue %d of %s", storelayer.ErrQueueNotFound, i, topic.Name)
	}
	return p.shard(topic.Shards[i])
}

// queueShard returns the shard that holds queue id of a topic, or storelayer.ErrQueueNotFound.
func (p *Proxy) queueShard(topic *meta.Topic, id message.QueueID) (storelayer.Shard, error) {
	r, err := p.route(topic)
	if err != nil {
		return nil, err
	}
	if int64(id) >= int64(len(r.placed)) {
		return nil, fmt.Errorf("%w: queue %d of %s, which has %d", storelayer.ErrQueueNotFound, id, topic.Name, len(r.placed))
	}
	return r.placed[id], nil
}

// forgetRoutes drops the routes of topics that are there no more.
func (p *Proxy) forgetRoutes(ctx context.Context) {
	for id, known := range p.routes.Range {
		topic, err := p.directory.TopicByName(ctx, known.(*route).name)
		if errors.Is(err, meta.ErrNotFound) || err == nil && topic.ID != id.(message.TopicID) {
			p.routes.Delete(id)
		}
	}
}
