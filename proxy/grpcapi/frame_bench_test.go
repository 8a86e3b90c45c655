package grpcapi

import (
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

func BenchmarkDelivery(b *testing.B) {
	m := message.Message{Topic: testTopic, Body: []byte(strings.Repeat("x", 1<<10)), BornTime: 1_700_000_000_123, StoreTime: 1_700_000_000_456}
	for _, p := range [][2]string{
		{message.PropertyMessageID, "01AABBCCDDEEFF00110000000000000001"},
		{message.PropertyTag, "created"},
		{message.PropertyKeys, "order-1"},
		{message.PropertyBornHost, "host"},
	} {
		m.Properties, _ = message.AppendProperty(m.Properties, p[0], p[1])
	}
	stored := m.AppendStored(nil)
	b.Run("size=1KiB", func(b *testing.B) {
		f := newFrames(topicResource(testTopic))
		defer f.free()
		d := proxy.Received{Handle: storelayer.Handle{Shard: 1, Group: "billing", Attempt: 1}, Bytes: stored}
		b.SetBytes(1 << 10)
		b.ReportAllocs()
		for b.Loop() {
			frame, err := f.delivery(d)
			if err != nil {
				b.Fatal(err)
			}
			frame.data.Free()
		}
	})
}
