package meta

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// Record is one of the typed records that are stored as JSON.
type Record interface {
	Cluster | Shard | Topic | Group
}

// GetRecord reads a typed record and its revision. It fails as [Client.Get] does, and with
// [ErrDamaged] if the data is no such record.
func GetRecord[T Record](ctx context.Context, c *Client, bucket Bucket, key string) (T, uint64, error) {
	var zero T
	v, err := c.Get(ctx, bucket, key)
	if err != nil {
		return zero, 0, err
	}
	r, err := DecodeRecord[T](v.Data)
	if err != nil {
		return zero, 0, fmt.Errorf("%s/%s: %w", bucket, key, err)
	}
	return r, v.Revision, nil
}

// MutateRecord changes a typed record by [Client.Mutate]. Change gets the record and whether there
// is one; it must be safe to apply twice. It returns the record as it was stored and its revision.
func MutateRecord[T Record](ctx context.Context, c *Client, bucket Bucket, key string, change func(r *T, found bool) error) (T, uint64, error) {
	var stored T
	v, err := c.Mutate(ctx, bucket, key, func(v Value) ([]byte, error) {
		var r T
		if v.Revision != 0 {
			var err error
			if r, err = DecodeRecord[T](v.Data); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", bucket, key, err)
			}
		}
		if err := change(&r, v.Revision != 0); err != nil {
			return nil, err
		}
		stored = r
		return EncodeRecord(r)
	})
	if err != nil {
		var zero T
		return zero, 0, err
	}
	return stored, v.Revision, nil
}

// CreateCluster makes the identity of a new cluster; it fails with [ErrExists] if there is one. It is
// called because a person, or an empty data folder, says that the cluster is new, never because
// the metadata has nothing.
func CreateCluster(ctx context.Context, c *Client, cluster Cluster) error {
	if cluster.ID == "" || cluster.Incarnation == "" || cluster.NextTopicID == 0 {
		return fmt.Errorf("%w: cluster without id, incarnation or first topic id", ErrInvalid)
	}
	data, err := EncodeRecord(cluster)
	if err != nil {
		return err
	}
	_, err = c.Create(ctx, BucketCluster, ClusterKey, data)
	if errors.Is(err, ErrConflict) {
		return fmt.Errorf("cluster %w", ErrExists)
	}
	return err
}

// AllocateTopicID takes the next topic id by compare-and-set. An id taken in vain is not used again.
func AllocateTopicID(ctx context.Context, c *Client) (message.TopicID, error) {
	cluster, _, err := MutateRecord(ctx, c, BucketCluster, ClusterKey, func(r *Cluster, found bool) error {
		if !found {
			return fmt.Errorf("cluster: %w", ErrNotFound)
		}
		r.NextTopicID++
		return nil
	})
	return cluster.NextTopicID - 1, err
}

// ErrNotHolder says that somebody else holds a shard's data.
var ErrNotHolder = errors.New("shard is held elsewhere")

// ClaimShard begins a new term of a shard's leader: epoch one higher, at least floor, by
// compare-and-set. Leadership follows the data: it fails with [ErrNotHolder] if the shard's record
// names another incarnation of the data folder. The first claim of a shard makes the record. Floor
// is above every epoch that the caller's log knows, since metadata that was rebuilt may be behind.
func ClaimShard(ctx context.Context, c *Client, id message.ShardID, leader, incarnation string, floor message.Epoch) (Shard, error) {
	s, _, err := MutateRecord(ctx, c, BucketShards, ShardKey(id), func(r *Shard, found bool) error {
		if found && r.Incarnation != incarnation {
			return fmt.Errorf("%w: shard %s: incarnation %s on node %s, not %s", ErrNotHolder, id, r.Incarnation, r.Leader, incarnation)
		}
		*r = Shard{
			ID: id, Epoch: max(r.Epoch+1, floor), Leader: leader, Incarnation: incarnation, FirstPosition: r.FirstPosition,
		}
		return nil
	})
	return s, err
}
