package proxy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// Lookup finds messages of a topic by key or message id in every tier, newest first, at most limit. A message
// that a seal moves meanwhile may be found in both tiers and is returned once.
func (p *Proxy) Lookup(ctx context.Context, topic *meta.Topic, kind message.IndexKind, text string, limit int) ([]message.Located, error) {
	r, err := p.route(topic)
	if err != nil {
		return nil, err
	}
	var found []message.Located
	for _, on := range r.shards {
		// Hot first: what is trimmed between the two questions is in the bucket by the second.
		hot, err := on.shard.Lookup(ctx, &storelayer.LookupRequest{Topic: topic.ID, Kind: kind, Text: text, Max: limit})
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", on.shard.ID(), err)
		}
		found = append(found, hot...)
		if p.history == nil {
			continue
		}
		cold, err := p.history.Lookup(ctx, on.shard.ID(), topic.ID, kind, text, limit)
		if err != nil {
			return nil, fmt.Errorf("%w: shard %s: %w", ErrHistory, on.shard.ID(), err)
		}
		found = append(found, cold...)
	}
	slices.SortFunc(found, func(a, b message.Located) int {
		return cmp.Or(
			cmp.Compare(message.Stored(b.Stored).StoreTime(), message.Stored(a.Stored).StoreTime()),
			cmp.Compare(b.Queue.ID, a.Queue.ID),
			cmp.Compare(b.Offset, a.Offset),
		)
	})
	found = slices.CompactFunc(found, func(a, b message.Located) bool { return a.Queue == b.Queue && a.Offset == b.Offset })
	return found[:min(limit, len(found))], nil
}

// MessageAt returns the message at an offset of a queue, from whichever tier has it.
func (p *Proxy) MessageAt(ctx context.Context, topic *meta.Topic, id message.QueueID, offset message.Offset) (message.Located, error) {
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return message.Located{}, err
	}
	got, err := p.read(ctx, shard, message.Queue{Topic: topic.ID, ID: id}, offset, 1, LargeBody)
	switch {
	case err != nil:
		return message.Located{}, err
	case len(got.Messages) == 0:
		return message.Located{}, &storelayer.OffsetOutOfRangeError{
			Queue: message.Queue{Topic: topic.ID, ID: id}, Offset: offset, First: got.First, Next: got.Next,
		}
	default:
		return got.Messages[0], nil
	}
}
