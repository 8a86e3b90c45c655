package meta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stratamq/stratamq/message"
)

// Cluster is the identity of a cluster, the value of [ClusterKey].
type Cluster struct {
	ID   string `json:"id"`   // random, for ever; prefix of every object key
	Name string `json:"name"` // what clients see; may change

	// Incarnation is chosen anew when a metadata store is set up or rebuilt: a store that came back
	// without its history is thereby another one.
	Incarnation string `json:"incarnation"`

	// NextTopicID is the id the next topic gets, from 1. It only grows: an id is never used again.
	NextTopicID message.TopicID `json:"next_topic_id"`

	// Shards is the append-only list that places the queues of system topics: queue i is on the i-th.
	Shards  []message.ShardID `json:"shards"`
	Created time.Time         `json:"created"`
}

// Shard says who leads a shard, the value of its [ShardKey] in [BucketShards].
type Shard struct {
	ID     message.ShardID `json:"id"`
	Epoch  message.Epoch   `json:"epoch"`  // of the leader; only grows, and is here before it is used
	Leader string          `json:"leader"` // node name

	// Incarnation is that of the leader's data folder, bound to the file system and inode of its
	// lock file: a copied folder differs and holds nothing.
	Incarnation string `json:"incarnation"`

	// FirstPosition is where the shard's log begins: 0, or where a handover went on.
	FirstPosition message.Position `json:"first_position"`
}

// EncodeRecord encodes a [Cluster], [Shard], [Topic] or [Group] as JSON.
func EncodeRecord[T Record](r T) ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return data, nil
}

// DecodeRecord decodes what [EncodeRecord] made. Fields it does not know are an error: a newer
// version's record must not be written back without them. It fails with [ErrDamaged].
func DecodeRecord[T Record](data []byte) (T, error) {
	var r T
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: record: %w", ErrDamaged, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		var zero T
		return zero, fmt.Errorf("%w: bytes after the record", ErrDamaged)
	}
	return r, nil
}
