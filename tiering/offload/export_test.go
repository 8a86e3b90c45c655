package offload

import (
	"context"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

// WriteObject does the first part of a seal for the oldest full segment, without the verification: collect, sort, write.
func WriteObject(ctx context.Context, src Source, store tiering.ObjectStore, config Config) (rawBytes int64, err error) {
	o := &Offloader{Options: Options{
		Config: config, Cluster: "bench", Source: src, Store: store,
		Class: func(message.TopicID) segment.Class { return segment.ClassEver },
	}}
	segments, err := src.Sealable(ctx)
	if err != nil {
		return 0, err
	}
	index, err := collect(ctx, src, segments[0].Base)
	if err != nil {
		return 0, err
	}
	key := "bench/" + segments[0].Base.String()
	sealed, _, err := o.upload(ctx, key, segments[0], o.classify(index)[0])
	return int64(sealed.Trailer.RawBytes), err
}
