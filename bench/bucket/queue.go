package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta/memory"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/history"
	"github.com/stratamq/stratamq/tiering/segment"
)

// spec names a queue of a sealed segment.
type spec struct {
	Cluster string          `json:"cluster"`
	Shard   message.ShardID `json:"shard"`
	Key     string          `json:"key"` // of the object
	Queue   uint32          `json:"queue"`
}

// recordsPerRead is how many messages a reader asks for at a time.
const recordsPerRead = 1024

// objectQueue opens the object and finds the blocks of the queue, whose topic is the only one in it.
func objectQueue(ctx context.Context, store tiering.ObjectStore, s spec) (message.Queue, []segment.Block, error) {
	info, err := store.Head(ctx, s.Key)
	if err != nil {
		return message.Queue{}, nil, err
	}
	r, err := segment.Open(ctx, segment.Object(store, s.Key), info.Size)
	if err != nil {
		return message.Queue{}, nil, err
	}
	for q := range r.Directory().Queues() {
		if q.Queue.ID == message.QueueID(s.Queue) {
			return q.Queue, r.Directory().BlocksOf(q), nil
		}
	}
	return message.Queue{}, nil, fmt.Errorf("object %s has no queue %d", s.Key, s.Queue)
}

// readHistory reads the queue from its first offset to the end of the segment.
func readHistory(ctx context.Context, store tiering.ObjectStore, s spec) (cost, error) {
	queue, blocks, err := objectQueue(ctx, store, s)
	if err != nil {
		return cost{}, err
	}
	h, err := history.New(history.Options{
		Config:  history.DefaultConfig(),
		Cluster: s.Cluster,
		Store:   store,
		Meta:    memory.Open(memory.NewData()), // empty: the bucket has it all
		Clock:   clock.Real(),
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return cost{}, err
	}
	defer h.Close() //nolint:errcheck // errcheck: everything was read
	// Where the queue lies is known before the clock starts, for the other side as well.
	if _, err := h.Read(ctx, s.Shard, queue, blocks[0].First, 1, 1, 1); err != nil {
		return cost{}, err
	}
	end := blocks[len(blocks)-1].Next()
	var total int64
	t := startTimer()
	for next := blocks[0].First; next < end; {
		got, err := h.Read(ctx, s.Shard, queue, next, recordsPerRead, 4<<20, 1)
		if err != nil {
			return cost{}, err
		}
		if len(got) == 0 {
			return cost{}, fmt.Errorf("no message at offset %d of [%d, %d)", next, blocks[0].First, end)
		}
		for i := range got {
			total += int64(len(got[i].Stored)) + message.EnvelopeLen
		}
		next = got[len(got)-1].Offset + 1
	}
	return t.cost(total), nil
}

// rawRanges gets the same bytes by ranges of a reader's window, the next one under way while this one is used, and
// decompresses the blocks in them.
func rawRanges(ctx context.Context, store tiering.ObjectStore, s spec) (cost, error) {
	_, blocks, err := objectQueue(ctx, store, s)
	if err != nil {
		return cost{}, err
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return cost{}, err
	}
	defer decoder.Close()
	ranges := windows(blocks, history.DefaultConfig().Window)
	fetched := make(chan fetch)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t := startTimer()
	go func() {
		defer close(fetched)
		for _, r := range ranges {
			f := fetch{blocks: r, data: make([]byte, r[len(r)-1].Position+int64(r[len(r)-1].Length)-r[0].Position)}
			f.err = store.GetRange(ctx, s.Key, f.data, r[0].Position)
			select {
			case fetched <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	var total int64
	var out []byte
	for f := range fetched {
		if f.err != nil {
			return cost{}, f.err
		}
		for _, b := range f.blocks {
			src := f.data[b.Position-f.blocks[0].Position:][:b.Length]
			header, err := segment.DecodeBlockHeader(src)
			if err != nil {
				return cost{}, err
			}
			switch header.Codec {
			case segment.CodecNone:
			case segment.CodecZstd:
				if out, err = decoder.DecodeAll(src[segment.BlockHeaderLen:], out[:0]); err != nil {
					return cost{}, fmt.Errorf("decompress block %d: %w", b.Number, err)
				}
			default:
				return cost{}, errors.New("nothing to compare codec " + header.Codec.String() + " with")
			}
			total += int64(header.RawLen)
		}
	}
	return t.cost(total), nil
}

// fetch is a range with the blocks that lie in it.
type fetch struct {
	blocks []segment.Block
	data   []byte
	err    error
}

// windows groups blocks that lie one behind the other into ranges of about size bytes.
func windows(blocks []segment.Block, size int64) [][]segment.Block {
	var ranges [][]segment.Block
	start := 0
	for i := range blocks {
		if i+1 == len(blocks) || blocks[i+1].Position+int64(blocks[i+1].Length)-blocks[start].Position > size {
			ranges = append(ranges, blocks[start:i+1])
			start = i + 1
		}
	}
	return ranges
}
