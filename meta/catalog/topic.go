package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// CreateTopic makes a topic from t's name, queues and settings, with an id that no topic ever had. It
// fails with [meta.ErrExists], [meta.ErrInvalid], or as [meta.Client.Mutate] does. Without places of
// its own the topic's queues go to the cluster's shards in turn.
func (c *Catalog) CreateTopic(ctx context.Context, t meta.Topic) (*meta.Topic, error) {
	cluster, _, err := meta.GetRecord[meta.Cluster](ctx, c.client, meta.BucketCluster, meta.ClusterKey)
	if err != nil {
		return nil, fmt.Errorf("create topic %q: %w", t.Name, err)
	}
	t = t.Clone()
	if !t.System() && len(t.Shards) == 0 && len(cluster.Shards) > 0 {
		for i := range min(max(t.Queues, 0), meta.MaxQueues) {
			t.Shards = append(t.Shards, cluster.Shards[i%len(cluster.Shards)])
		}
	}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("create topic %q: %w", t.Name, err)
	}
	// An id costs a write, and one taken for a name that exists is lost: so look first.
	if old, revision, err := meta.GetRecord[meta.Topic](ctx, c.client, meta.BucketTopics, t.Name); err == nil && old.Live() {
		c.topics.put(t.Name, &old, revision)
		return nil, fmt.Errorf("topic %q %w", t.Name, meta.ErrExists)
	}
	if t.ID, err = meta.AllocateTopicID(ctx, c.client); err != nil {
		return nil, fmt.Errorf("create topic %q: %w", t.Name, err)
	}
	t.Created, t.Deleted, t.Ended = c.now().UTC(), time.Time{}, nil
	return c.changeTopic(ctx, t.Name, func(r *meta.Topic, found bool) error {
		if found && r.ID == t.ID {
			return nil // it was made by this call already
		}
		if found && r.Live() {
			return fmt.Errorf("topic %q %w", t.Name, meta.ErrExists)
		}
		version, ended := r.Version, r.Ended
		*r = t
		r.Version, r.Ended = version+1, ended
		return nil
	})
}

// Knows reports whether an id is that of a topic or of a deleted one, as far as the catalog can tell: the id of a
// topic whose name was used again is known until every shard has its deletion record.
func (c *Catalog) Knows(id message.TopicID) bool {
	if _, ok := c.TopicByID(id); ok {
		return true
	}
	for _, t := range c.EndedTopics() {
		if slices.Contains(t.Ended, id) {
			return true
		}
	}
	return false
}

// RestoreTopic makes the record of a topic anew that the store has lost, with the id that its messages carry. It
// fails with [meta.ErrExists] if the name has a record, a tombstone included, or the id another name, and with
// [meta.ErrInvalid] if the cluster has never given out the id.
func (c *Catalog) RestoreTopic(ctx context.Context, t meta.Topic) (*meta.Topic, error) {
	t = t.Clone()
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("restore topic %q: %w", t.Name, err)
	}
	cluster, _, err := meta.GetRecord[meta.Cluster](ctx, c.client, meta.BucketCluster, meta.ClusterKey)
	if err != nil {
		return nil, fmt.Errorf("restore topic %q: %w", t.Name, err)
	}
	if t.ID == 0 || t.ID >= cluster.NextTopicID {
		return nil, fmt.Errorf("restore topic %q: %w: id %s was never given out", t.Name, meta.ErrInvalid, t.ID)
	}
	if c.Knows(t.ID) {
		return nil, fmt.Errorf("restore topic %q: id %s %w", t.Name, t.ID, meta.ErrExists)
	}
	t.Created, t.Deleted, t.Ended, t.Version = c.now().UTC(), time.Time{}, nil, 1
	return c.changeTopic(ctx, t.Name, func(r *meta.Topic, found bool) error {
		if found && r.ID == t.ID && r.Live() {
			return nil // it was made by this call already
		}
		if found {
			return fmt.Errorf("topic %q, with id %s, %w", t.Name, r.ID, meta.ErrExists)
		}
		*r = t
		return nil
	})
}

// UpdateTopic changes a live topic's settings. Change must be safe to apply twice. Name, id and
// creation stay, and the number of queues does not shrink.
func (c *Catalog) UpdateTopic(ctx context.Context, name string, change func(*meta.Topic) error) (*meta.Topic, error) {
	return c.changeTopic(ctx, name, func(r *meta.Topic, found bool) error {
		if !found || !r.Live() {
			return fmt.Errorf("topic %q: %w", name, meta.ErrNotFound)
		}
		old := r.Clone()
		if err := change(r); err != nil {
			return err
		}
		if r.Name != old.Name || r.ID != old.ID || !r.Created.Equal(old.Created) || !r.Deleted.IsZero() || !slices.Equal(r.Ended, old.Ended) {
			return fmt.Errorf("%w: name, id and life of topic %q are not settings", meta.ErrInvalid, name)
		}
		if r.Queues < old.Queues || len(r.Shards) < len(old.Shards) || !slices.Equal(r.Shards[:len(old.Shards)], old.Shards) {
			return fmt.Errorf("%w: topic %q has %d queues for ever where they are", meta.ErrInvalid, name, old.Queues)
		}
		r.Version = old.Version + 1
		return r.Validate()
	})
}

// DeleteTopic makes a live topic a tombstone. Its id is in Ended until [Catalog.ConfirmEnded].
func (c *Catalog) DeleteTopic(ctx context.Context, name string) (*meta.Topic, error) {
	var id message.TopicID // that the first attempt saw: a later topic of this name is not ours to delete
	return c.changeTopic(ctx, name, func(r *meta.Topic, found bool) error {
		if !found || !r.Live() && (id == 0 || r.ID != id) || id != 0 && r.ID != id {
			return fmt.Errorf("topic %q: %w", name, meta.ErrNotFound)
		}
		if !r.Live() {
			return nil // by the attempt before
		}
		id = r.ID
		r.Deleted, r.Version, r.Ended = c.now().UTC(), r.Version+1, append(r.Ended, r.ID)
		return nil
	})
}

// ConfirmEnded takes id out of the name's ended ids: every shard has its deletion record.
func (c *Catalog) ConfirmEnded(ctx context.Context, name string, id message.TopicID) error {
	_, err := c.changeTopic(ctx, name, func(r *meta.Topic, found bool) error {
		if !found {
			return fmt.Errorf("topic %q: %w", name, meta.ErrNotFound)
		}
		if kept := slices.DeleteFunc(slices.Clone(r.Ended), func(e message.TopicID) bool { return e == id }); len(kept) < len(r.Ended) {
			r.Ended, r.Version = kept, r.Version+1
		}
		return nil
	})
	return err
}

// EnsureDeadLetterTopic returns the topic that takes a group's dead letters, and makes it if it is not
// there, with a queue on every shard of the cluster. It returns once the topic's record is stored.
func (c *Catalog) EnsureDeadLetterTopic(ctx context.Context, group string) (*meta.Topic, error) {
	name := meta.DeadLetterTopic(group)
	if t, ok := c.topics.load(name); ok && t.Live() {
		return t, nil
	}
	cluster, _, err := meta.GetRecord[meta.Cluster](ctx, c.client, meta.BucketCluster, meta.ClusterKey)
	if err != nil {
		return nil, fmt.Errorf("dead letter topic of group %q: %w", group, err)
	}
	t, err := c.CreateTopic(ctx, meta.Topic{
		Name: name, Queues: max(1, len(cluster.Shards)), Type: meta.TypeNormal, Ack: meta.AckDurable,
	})
	if errors.Is(err, meta.ErrExists) {
		// Somebody else made it. Not TopicByName: a miss from before may still be believed.
		return c.topics.fetch(ctx, name)
	}
	return t, err
}

func (c *Catalog) changeTopic(ctx context.Context, name string, change func(*meta.Topic, bool) error) (*meta.Topic, error) {
	t, revision, err := meta.MutateRecord(ctx, c.client, meta.BucketTopics, name, change)
	if err != nil {
		return nil, err
	}
	c.topics.put(name, &t, revision)
	return &t, nil
}
