package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/meta/nats"
)

// theShard is the one shard of a broker in one process.
const theShard message.ShardID = 0

// nodeName is how a broker in one process calls itself.
const nodeName = "strata"

// errMetadataGone says that there is a log and nothing that knows of it.
var errMetadataGone = errors.New("the data folder has a log, but its metadata store knows of no cluster")

// openMeta starts the embedded metadata store and makes sure that it knows the cluster. Only an empty
// data folder makes a new cluster: metadata that is gone is not the same as metadata that never was.
func openMeta(ctx context.Context, f *folder, log *slog.Logger) (*nats.Store, *meta.Client, meta.Cluster, error) {
	config := nats.DefaultEmbeddedConfig()
	config.Dir = f.path(metaDir)
	store, err := nats.OpenEmbedded(ctx, config, log)
	if err != nil {
		return nil, nil, meta.Cluster{}, err
	}
	client := meta.NewClient(store, f.incarnation, newRand())
	cluster, err := ensureCluster(ctx, client, f)
	if err != nil {
		return nil, nil, meta.Cluster{}, errors.Join(err, store.Close())
	}
	return store, client, cluster, nil
}

func ensureCluster(ctx context.Context, client *meta.Client, f *folder) (meta.Cluster, error) {
	cluster, _, err := meta.GetRecord[meta.Cluster](ctx, client, meta.BucketCluster, meta.ClusterKey)
	if !errors.Is(err, meta.ErrNotFound) {
		return cluster, err
	}
	if !f.fresh {
		return cluster, fmt.Errorf("%w: %s was removed or damaged; put it back from a copy", errMetadataGone, f.path(metaDir))
	}
	cluster = meta.Cluster{
		ID:          strings.ToLower(rand.Text()),
		Name:        nodeName,
		Incarnation: strings.ToLower(rand.Text()),
		NextTopicID: 1,
		Shards:      []message.ShardID{theShard},
		Created:     time.Now().UTC(),
	}
	return cluster, meta.CreateCluster(ctx, client, cluster)
}

// claims says how the one shard's terms are begun.
type claims struct {
	client      *meta.Client
	incarnation string
	acceptCopy  bool
	log         *slog.Logger
}

// known reports whether the shard has been led before: then its log must be there.
func (c claims) known(ctx context.Context) (bool, error) {
	_, _, err := meta.GetRecord[meta.Shard](ctx, c.client, meta.BucketShards, meta.ShardKey(theShard))
	if errors.Is(err, meta.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// next begins a term above last and above every one that the metadata knows.
func (c claims) next(ctx context.Context, last message.Epoch) (message.Epoch, error) {
	if last == math.MaxUint32 {
		return 0, errors.New("there is no epoch left")
	}
	record, err := meta.ClaimShard(ctx, c.client, theShard, nodeName, c.incarnation, last+1)
	if errors.Is(err, meta.ErrNotHolder) && c.acceptCopy {
		c.log.Warn("leading from a copy of the data folder, as told; a running original cannot be fenced and must never start again")
		record, err = c.takeOver(ctx, last+1)
	}
	if errors.Is(err, meta.ErrNotHolder) {
		return 0, fmt.Errorf("the data folder is a copy, and the original may still run: two brokers of one history would both acknowledge. "+
			"If the original is gone for ever, start once with --accept-copied-data: %w", err)
	}
	return record.Epoch, err
}

// takeOver makes this folder the holder of the shard.
func (c claims) takeOver(ctx context.Context, floor message.Epoch) (meta.Shard, error) {
	record, _, err := meta.MutateRecord(ctx, c.client, meta.BucketShards, meta.ShardKey(theShard), func(r *meta.Shard, _ bool) error {
		r.ID, r.Leader, r.Incarnation = theShard, nodeName, c.incarnation
		r.Epoch = max(r.Epoch+1, floor)
		return nil
	})
	return record, err
}

// newRand returns a source seeded by the system's randomness.
func newRand() *mathrand.Rand {
	var seed [16]byte
	_, _ = rand.Read(seed[:]) // never fails
	return mathrand.New(mathrand.NewPCG(binary.LittleEndian.Uint64(seed[:]), binary.LittleEndian.Uint64(seed[8:])))
}
