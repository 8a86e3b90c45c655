package proxy

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// Queue returns what the shard of a queue knows of it.
func (p *Proxy) Queue(ctx context.Context, topic *meta.Topic, id message.QueueID) (storelayer.QueueState, error) {
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return storelayer.QueueState{}, err
	}
	return shard.Queue(ctx, message.Queue{Topic: topic.ID, ID: id})
}

// OffsetAt returns the first offset of a queue, in any tier, stored at or after t (Unix milliseconds); the
// queue's end if there is none.
func (p *Proxy) OffsetAt(ctx context.Context, topic *meta.Topic, id message.QueueID, t int64) (message.Offset, error) {
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return 0, err
	}
	q := message.Queue{Topic: topic.ID, ID: id}
	local, state, err := shard.OffsetAt(ctx, q, t)
	if err != nil || local > state.FirstLocal || state.First >= state.FirstLocal {
		return local, err
	}
	if p.history == nil {
		return 0, fmt.Errorf("%w: queue %s begins at %d, is local from %d, and there is no bucket", ErrHistory, q, state.First, state.FirstLocal)
	}
	// Every local message is late enough; an older one in the bucket may be, too.
	cold, found, err := p.history.OffsetAt(ctx, shard.ID(), q, t, state.Tier.SealSequence)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: queue %s at %d: %w", ErrHistory, q, t, err)
	case !found:
		return local, nil
	default:
		return max(min(cold, local), state.First), nil
	}
}

// Commit records a group's offset of a queue, as a client that pulls does. It never goes back.
func (p *Proxy) Commit(ctx context.Context, topic *meta.Topic, group *meta.Group, id message.QueueID, offset message.Offset) error {
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return err
	}
	return shard.Commit(ctx, &storelayer.ResetRequest{
		Group:      group.Name,
		Generation: uint32(group.Generation),
		Queue:      message.Queue{Topic: topic.ID, ID: id},
		Offset:     offset,
	})
}

// Committed returns a group's offset of a queue, or storelayer.ErrOffsetNotFound.
func (p *Proxy) Committed(ctx context.Context, topic *meta.Topic, group *meta.Group, id message.QueueID) (message.Offset, error) {
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return 0, err
	}
	return shard.Committed(ctx, group.Name, uint32(group.Generation), message.Queue{Topic: topic.ID, ID: id})
}
