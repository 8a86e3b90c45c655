package shard

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs/osfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// newBenchShard is a shard on a real disk with the real clock.
func newBenchShard(b *testing.B) *Shard {
	b.Helper()
	opts := Options{
		Config: DefaultConfig(), ID: 1, FS: osfs.New(), Dir: b.TempDir(), Clock: clock.Real(), Rand: testRand(1),
		Logger: discard(), Create: true, DeadLetters: &deadLetters{},
		NextEpoch: func(_ context.Context, last message.Epoch) (message.Epoch, error) { return last + 1, nil },
	}
	opts.DiskMark = 0
	s, err := Open(b.Context(), opts)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	result := make(chan error, 1)
	go func() { result <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-result; err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 16} {
		for _, ack := range []storelayer.AckMode{storelayer.AckDurable, storelayer.AckLocal} {
			b.Run(fmt.Sprintf("size=1KiB/callers=64/batch=%d/ack=%s", batch, ack), func(b *testing.B) {
				s := newBenchShard(b)
				body := make([]byte, 1024)
				var n atomic.Uint32
				b.SetParallelism(32)
				b.SetBytes(int64(batch * len(body)))
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					q := message.QueueID(n.Add(1) % 8)
					messages := make([]message.Message, batch)
					for pb.Next() {
						for i := range messages {
							messages[i] = text(q, "", "")
							messages[i].Body, messages[i].BodyCRC = body, message.BodyCRC(body)
						}
						if _, err := s.Append(b.Context(), &storelayer.AppendRequest{Messages: messages, Ack: ack}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

func BenchmarkLeaseAck(b *testing.B) {
	s := newBenchShard(b)
	messages := make([]message.Message, 64)
	for i := range messages {
		messages[i] = text(message.QueueID(i%4), fmt.Sprint(i), "")
		messages[i].Body = make([]byte, 1024)
	}
	group := 0
	left := 0
	b.ReportAllocs()
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			for range 32 {
				if _, err := s.Append(b.Context(), &storelayer.AppendRequest{Messages: messages}); err != nil {
					b.Fatal(err)
				}
			}
			left = 64
			b.StartTimer()
		}
		req := leaseRequest(fmt.Sprint("g", group), 32)
		got, err := s.Lease(b.Context(), req)
		if err != nil || len(got.Deliveries) != 32 {
			b.Fatalf("%d leased, %v", len(got.Deliveries), err)
		}
		handles := make([]storelayer.Handle, len(got.Deliveries))
		for i, d := range got.Deliveries {
			handles[i] = d.Handle
		}
		if _, err := s.Ack(b.Context(), handles); err != nil {
			b.Fatal(err)
		}
		left--
	}
	b.ReportMetric(32, "messages/op")
}
