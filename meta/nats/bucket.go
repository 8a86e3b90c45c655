package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/meta"
)

// layout is how buckets are created.
type layout struct {
	replicas int
	maxBytes int64 // per bucket, -1 for no bound
}

const (
	streamPrefix  = "KV_"  // of a key-value stream's name, by NATS's convention
	subjectPrefix = "$KV." // of its subjects
)

func streamName(b meta.Bucket) string { return streamPrefix + string(b) }

func subject(b meta.Bucket, key string) string {
	return subjectPrefix + string(b) + "." + meta.EscapeKey(key)
}

// streamConfig is that of a key-value bucket, so that NATS's own tools can read it, but for
// AllowDirect: with it any replica would answer reads.
func (l layout) streamConfig(b meta.Bucket) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              streamName(b),
		Subjects:          []string{subjectPrefix + string(b) + ".>"},
		MaxMsgsPerSubject: 1,
		MaxBytes:          l.maxBytes,
		MaxAge:            0,
		MaxMsgSize:        meta.MaxValueLen + 4096, // headers count
		Storage:           jetstream.FileStorage,
		Replicas:          l.replicas,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       false,
	}
}

// openBuckets binds all buckets, and makes them if there is no cluster here yet. The bucket cluster
// is made last, so that only a whole store has it.
func openBuckets(ctx context.Context, js jetstream.JetStream, l layout) (map[meta.Bucket]bucket, error) {
	have, err := streams(ctx, js)
	if err != nil {
		return nil, err
	}
	_, whole := have[streamName(meta.BucketCluster)]
	for _, b := range meta.Buckets() {
		if _, ok := have[streamName(b)]; whole && !ok {
			return nil, fmt.Errorf("%w: bucket %s is missing", meta.ErrDamaged, b)
		}
	}
	if !whole {
		g, gctx := errgroup.WithContext(ctx)
		for _, b := range meta.Buckets() {
			if b != meta.BucketCluster {
				g.Go(func() error { return createBucket(gctx, js, l, b) })
			}
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		if err := createBucket(ctx, js, l, meta.BucketCluster); err != nil {
			return nil, err
		}
	}
	out := make(map[meta.Bucket]bucket, len(meta.Buckets()))
	for _, b := range meta.Buckets() {
		if out[b], err = bindBucket(ctx, js, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func streams(ctx context.Context, js jetstream.JetStream) (map[string]struct{}, error) {
	have := make(map[string]struct{})
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if strings.HasPrefix(name, streamPrefix) {
			have[name] = struct{}{}
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("%w: list buckets: %w", meta.ErrUnavailable, err)
	}
	return have, nil
}

// createBucket makes the bucket's stream. That another process, or an attempt that was cut off,
// made it already is as good.
func createBucket(ctx context.Context, js jetstream.JetStream, l layout, b meta.Bucket) error {
	_, err := js.CreateStream(ctx, l.streamConfig(b))
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("%w: create bucket %s: %w", meta.ErrUnavailable, b, err)
	}
	return nil
}

// bucket is an open bucket.
type bucket struct {
	stream jetstream.Stream
	kv     jetstream.KeyValue // for watches
}

func bindBucket(ctx context.Context, js jetstream.JetStream, b meta.Bucket) (bucket, error) {
	stream, err := js.Stream(ctx, streamName(b))
	if err != nil {
		return bucket{}, fmt.Errorf("%w: bucket %s: %w", meta.ErrUnavailable, b, err)
	}
	if c := stream.CachedInfo().Config; c.AllowDirect || c.MaxMsgsPerSubject != 1 || c.MaxAge != 0 {
		return bucket{}, fmt.Errorf("%w: bucket %s was made with other settings: direct reads %t, history %d, age limit %s",
			meta.ErrInvalid, b, c.AllowDirect, c.MaxMsgsPerSubject, c.MaxAge)
	}
	if !b.Listable() {
		return bucket{stream: stream}, nil
	}
	kv, err := js.KeyValue(ctx, string(b))
	if err != nil {
		return bucket{}, fmt.Errorf("%w: bucket %s: %w", meta.ErrUnavailable, b, err)
	}
	return bucket{stream: stream, kv: kv}, nil
}
