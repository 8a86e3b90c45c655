package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratamq/stratamq/message"
)

func BenchmarkAppend(b *testing.B) {
	for _, queues := range []int{1, 1000} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			table := NewTable(testBase)
			hashes := make([]uint64, 1)
			rng := rand.New(rand.NewPCG(1, 1))
			at, base := message.Position(testBase), message.Position(testBase)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q := message.Queue{Topic: 1, ID: message.QueueID(i % queues)}
				hashes[0] = rng.Uint64()
				if at-base > 1<<30 {
					b.StopTimer()
					if err := table.Roll(at); err != nil {
						b.Fatal(err)
					}
					if _, err := table.Drop(base); err != nil {
						b.Fatal(err)
					}
					base = at
					b.StartTimer()
				}
				if err := table.Append(q, table.Reserve(q, 1), message.Entry{Position: at, Size: 1024}, 1, hashes); err != nil {
					b.Fatal(err)
				}
				at += 1024
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	table := NewTable(testBase)
	q := message.Queue{Topic: 1}
	for i := range 1_000_000 {
		if err := table.Append(q, message.Offset(i), message.Entry{Position: testBase + message.Position(i)*1024, Size: 1024}, 1, nil); err != nil {
			b.Fatal(err)
		}
	}
	var entries []message.Entry
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		var err error
		if entries, err = table.Range(entries[:0], q, message.Offset(i*32%900_000), 32); err != nil || len(entries) != 32 {
			b.Fatal(len(entries), err)
		}
	}
}
