package group

import (
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// BenchmarkLeaseSettle leases and settles 32 messages per turn, records applied, on a queue with a million messages
// behind 10,000 that nobody settles.
func BenchmarkLeaseSettle(b *testing.B) {
	const batch = 32
	q := message.Queue{Topic: 1}
	g := New(testKey)
	m := Moment{Now: 1000, Epoch: 1}
	at, lease, next := message.Position(4096), uint64(0), message.Offset(1_000_000)
	apply := func(s Step) {
		for _, rec := range s.Records {
			if err := g.Apply(rec, at); err != nil {
				b.Fatal(err)
			}
			at += 100
		}
	}
	deadline := int64(1) << 60
	take := func(n int) Decision {
		lease++
		d := g.Lease(m, &LeaseInput{
			Queue: q, Next: next, Max: n, MaxAttempts: 16, Deadline: deadline, Client: "client", Lease: lease,
		})
		apply(d.Step)
		return d
	}
	for range 10 {
		take(1000)
	}
	handles := make([]storelayer.Handle, 0, batch)
	b.ReportAllocs()
	for b.Loop() {
		next += batch
		m.Now++
		deadline = m.Now + 15_000
		d := take(batch)
		handles = handles[:0]
		for _, l := range d.Leased {
			handles = append(handles, storelayer.Handle{
				Queue: q, Offset: l.Offset, Group: testKey.Name, Generation: testKey.Generation,
				Epoch: m.Epoch, Lease: lease, Attempt: l.Attempt, Deadline: d.Deadline,
			})
		}
		if len(handles) == 0 {
			b.Fatal("nothing leased")
		}
		apply(g.Settle(m, Acked, handles).Step)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/message")
}

// BenchmarkSettleEveryOther settles every other one of 200,000 leased messages, so that the runs grow to 100,000.
func BenchmarkSettleEveryOther(b *testing.B) {
	var s runSet
	o := message.Offset(0)
	b.ReportAllocs()
	for b.Loop() {
		s.add(Run{First: o, End: o + 1})
		if o += 2; o >= 200_000 {
			s, o = runSet{}, 0
		}
	}
}
