package ledger

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// run is a history being told: what happened in torture and what readers saw.
type run struct {
	*Ledger
	t *testing.T
}

// ok sends a message to topic a that is acknowledged with this offset.
func (r *run) ok(offset int64) uint64 {
	id := r.Begin("a")
	r.Sent(id, offset)
	return id
}

func (r *run) seen(id uint64, topic string, queue int32, offset int64) *Seen {
	return &Seen{Place: Place{topic, queue, offset}, Name: r.Name(id), Tag: Tag(id), Body: r.Body(id)}
}

func (r *run) read(id uint64, topic string, queue int32, offset int64) {
	r.Read(r.seen(id, topic, queue, offset))
}

func (r *run) pass(read func()) {
	began := r.Now()
	r.BeginPass()
	read()
	r.EndPass(began, 0)
}

// TestCheckers tells histories in which one thing went wrong; each must be reported, and named.
func TestCheckers(t *testing.T) {
	cases := []struct {
		name string
		want string // the invariant, and a piece of the text; "" for a history without fault
		tell func(r *run)
	}{
		{"nothing wrong", "", goodHistory},
		{"acknowledged message lost", "I1: message 1 of a was acknowledged with offset 1 and is lost", func(r *run) {
			a := r.ok(0)
			r.ok(1)
			r.pass(func() { r.read(a, "a", 0, 0) })
		}},
		{"message lost after it was read", "I1: message 0 was at a/0@0 and is gone (of unknown outcome)", func(r *run) {
			a := r.Begin("a")
			r.pass(func() { r.read(a, "a", 0, 0) })
			r.pass(func() {})
		}},
		{"message at two offsets", "I1: message 0 is at a/0@0 and at a/0@1", func(r *run) {
			a := r.ok(0)
			r.read(a, "a", 0, 0)
			r.read(a, "a", 0, 1)
		}},
		{"message in two queues", "I1: message 0 is at a/0@0 and at a/1@0", func(r *run) {
			a := r.ok(0)
			r.read(a, "a", 0, 0)
			r.read(a, "a", 1, 0)
		}},
		{"offset is not the one that was answered", "I1: message 0 was acknowledged with offset 5 and is at a/0@4", func(r *run) {
			r.read(r.ok(5), "a", 0, 4)
		}},
		{"answer names another offset than was read", "I1: message 0 was answered with offset 5 and read at a/0@4", func(r *run) {
			a := r.Begin("a")
			r.read(a, "a", 0, 4)
			r.Sent(a, 5)
		}},
		{"message in another topic", "I1: message 0 was sent to a and is at b/0@0", func(r *run) {
			r.read(r.ok(0), "b", 0, 0)
		}},
		{"one bit of a body flipped", "I1: a/0@0 holds message 0 with other bytes", func(r *run) {
			s := r.seen(r.ok(0), "a", 0, 0)
			s.Body[len(s.Body)-1] ^= 1
			r.Read(s)
		}},
		{"body cut off", "I1: a/0@0 holds message 0 with other bytes", func(r *run) {
			s := r.seen(r.ok(0), "a", 0, 0)
			s.Body = s.Body[:len(s.Body)-1]
			r.Read(s)
		}},
		{"tag changed", `I1: a/0@0 holds message 0 with id`, func(r *run) {
			s := r.seen(r.ok(0), "a", 0, 0)
			s.Tag = "other"
			r.Read(s)
		}},
		{"never sent", `I2: a/0@0 holds "zeros"`, func(r *run) {
			r.Read(&Seen{Place: Place{"a", 0, 0}, Body: []byte("zeros")})
		}},
		{"number never given", "I2: a/0@0 holds", func(r *run) {
			r.read(7, "a", 0, 0)
		}},
		{"read after a refusal", "I2: message 0 was refused and is at a/0@0", func(r *run) {
			a := r.Begin("a")
			r.SentRefused(a)
			r.read(a, "a", 0, 0)
		}},
		{"refused after it was read", "I2: message 0 was refused and is read at a/0@0", func(r *run) {
			a := r.Begin("a")
			r.read(a, "a", 0, 0)
			r.SentRefused(a)
		}},
		{"delivered after a refusal", "I2: message 0 was refused and is delivered to g", func(r *run) {
			a := r.Begin("a")
			r.SentRefused(a)
			r.Delivered("g", r.Now(), r.seen(a, "a", 0, 0))
		}},
		{"offset holds another message after a restart", "I3: a/0@0 held message 0 and now holds message 1", func(r *run) {
			a, b := r.Begin("a"), r.Begin("a")
			r.read(a, "a", 0, 0)
			r.read(b, "a", 0, 0)
		}},
		{"offset delivered as another message", "I3: a/0@0 holds message 0 and is delivered to g as message 1", func(r *run) {
			a, b := r.Begin("a"), r.Begin("a")
			r.read(a, "a", 0, 0)
			r.Delivered("g", r.Now(), r.seen(b, "a", 0, 0))
		}},
		{"reordering", "I4: message 0 at a/0@1 was acknowledged before message 1 at a/0@0 was sent", func(r *run) {
			a, b := r.ok(1), r.ok(0)
			r.read(a, "a", 0, 1)
			r.read(b, "a", 0, 0)
			r.CheckOrder()
		}},
		{"reordering with an unknown one", "I4: message 0 at a/0@1 was acknowledged before message 1 at a/0@0", func(r *run) {
			a, b := r.ok(1), r.Begin("a")
			r.read(a, "a", 0, 1)
			r.read(b, "a", 0, 0)
			r.CheckOrder()
		}},
		{"hole", "I4: a/0: offset 2 follows where 1 belongs", func(r *run) {
			r.Range("a", 0, 0, 3, []int64{0, 2})
		}},
		{"twice in one reading", "I4: a/0: offset 0 follows where 1 belongs", func(r *run) {
			r.Range("a", 0, 0, 2, []int64{0, 0, 1})
		}},
		{"end out of reach", "I4: a/0: reading ended at 1, the queue ends at 2", func(r *run) {
			r.Range("a", 0, 0, 2, []int64{0})
		}},
		{"acknowledgement lost", "I21: message 0 at a/0@0 was acknowledged by g and is delivered again", func(r *run) {
			s := r.seen(r.ok(0), "a", 0, 0)
			id, _ := r.Delivered("g", r.Now(), s)
			r.BeginAck("g", id)
			r.Acked("g", id)
			r.Delivered("g", r.Now(), s)
		}},
		{"committed offset went back", "I21: pull committed 7 in a/0, the broker says 5", func(r *run) {
			r.BeginCommit("pull", "a", 0, 7)
			r.Committed("pull", "a", 0, 7)
			r.CommittedIs("pull", "a", 0, 5)
		}},
		{"committed offset forgotten", "I21: pull committed 7 in a/0, the broker says -1", func(r *run) {
			r.BeginCommit("pull", "a", 0, 7)
			r.Committed("pull", "a", 0, 7)
			r.CommittedIs("pull", "a", 0, -1)
		}},
		{"committed offset that nobody committed", "I21: pull never committed more than 7 in a/0, the broker says 9", func(r *run) {
			r.BeginCommit("pull", "a", 0, 7)
			r.CommittedIs("pull", "a", 0, 9)
		}},
		{"floor passes an unacknowledged message", "I21: g has committed 2 in a/0 and not acknowledged message 1 at 1", func(r *run) {
			a, b := r.ok(0), r.ok(1)
			r.read(a, "a", 0, 0)
			r.read(b, "a", 0, 1)
			r.BeginAck("g", a)
			r.FloorIs("g", "a", 0, 2)
		}},
		{"floor went back", "I21: g had settled all below 1 in a/0, the broker says 0", func(r *run) {
			a := r.ok(0)
			r.read(a, "a", 0, 0)
			r.BeginAck("g", a)
			r.FloorIs("g", "a", 0, 1)
			r.FloorIs("g", "a", 0, 0)
		}},
		{"two dead letters of one message", "I23: message 0 is in the dead-letter queue of g at %DLQ%g/0@0 and at %DLQ%g/0@1", func(r *run) {
			a := r.ok(0)
			r.DeadLetter("g", r.seen(a, "%DLQ%g", 0, 0))
			r.DeadLetter("g", r.seen(a, "%DLQ%g", 0, 1))
		}},
		{"dead letter with other bytes", "I1: %DLQ%g/0@0 holds message 0 with other bytes", func(r *run) {
			s := r.seen(r.ok(0), "%DLQ%g", 0, 0)
			s.Body[20] ^= 1
			r.DeadLetter("g", s)
		}},
		{"left the queue without a copy", "I23: message 0 of a (offset 0, 1 deliveries) has left the queue for g", func(r *run) {
			r.Subscribe("g", "a")
			r.Delivered("g", r.Now(), r.seen(r.ok(0), "a", 0, 0))
			r.CheckSettled("g")
		}},
		{"forwarded and no dead letter", "I23: message 0 was forwarded by g and is no dead letter", func(r *run) {
			a := r.ok(0)
			r.BeginAck("g", a)
			r.BeginForward("g", a)
			r.Forwarded("g", a)
			r.CheckSettled("g")
		}},
		{"dead letter delivered again", "I23: message 0 at a/0@0 was dead-lettered by g and is delivered again", func(r *run) {
			s := r.seen(r.ok(0), "a", 0, 0)
			r.BeginForward("g", 0)
			r.Forwarded("g", 0)
			r.Delivered("g", r.Now(), s)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := &run{New(1), t}
			c.tell(r)
			n, found := r.Violations()
			if c.want == "" {
				if n != 0 {
					t.Fatalf("reported without reason: %v", found)
				}
				return
			}
			if n == 0 {
				t.Fatalf("not reported: %s", c.want)
			}
			if !slices.ContainsFunc(found, func(v Violation) bool { return strings.HasPrefix(v.String(), c.want) }) {
				t.Errorf("reported %v, want %s", found, c.want)
			}
		})
	}
}

// goodHistory has everything that is allowed: unknown outcomes that come back or do not, deliveries again
// before an acknowledgement or across it, a dead letter read twice, commits of unknown outcome.
func goodHistory(r *run) {
	r.Subscribe("g", "a")
	a, b := r.ok(0), r.ok(1)
	back, gone, refused := r.Begin("a"), r.Begin("a"), r.Begin("a")
	r.SentRefused(refused)
	_ = gone
	for range 2 {
		r.pass(func() {
			r.read(a, "a", 0, 0)
			r.read(b, "a", 0, 1)
			r.read(back, "a", 0, 2)
		})
		r.Range("a", 0, 0, 3, []int64{0, 1, 2})
	}
	r.CheckOrder()
	asked := r.Now()
	r.Delivered("g", asked, r.seen(a, "a", 0, 0))
	r.Delivered("g", asked, r.seen(a, "a", 0, 0))
	r.BeginAck("g", a)
	r.Acked("g", a)
	r.Delivered("g", asked, r.seen(a, "a", 0, 0)) // asked for before the acknowledgement
	r.Delivered("g", asked, r.seen(b, "a", 0, 1))
	r.BeginForward("g", b)
	r.Forwarded("g", b)
	for range 2 {
		r.DeadLetter("g", r.seen(b, "%DLQ%g", 0, 0))
	}
	r.FloorIs("g", "a", 0, 2)
	r.CheckSettled("g")
	r.CommittedIs("pull", "a", 0, -1)
	r.BeginCommit("pull", "a", 0, 2)
	r.Committed("pull", "a", 0, 2)
	r.BeginCommit("pull", "a", 0, 3)
	r.CommittedIs("pull", "a", 0, 2)
	r.CommittedIs("pull", "a", 0, 3)
}

func TestTotals(t *testing.T) {
	r := &run{New(1), t}
	goodHistory(r)
	got := r.Totals()
	want := Totals{
		Sent: 5, Acked: 2, Refused: 1, Unknown: 2, Returned: 1, Reads: 6,
		Delivered: 4, Settled: 1, Again: 2, DeadLetters: 1,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLineIsAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	line := Line{Run: "kill", Seed: 7, Faults: map[string]int{"kill": 3}, Acked: 9, Seconds: 1.5}
	for range 2 {
		if err := line.Append(path); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), text)
	}
	var back Line
	if err := json.Unmarshal([]byte(lines[1]), &back); err != nil || back.Seed != 7 || back.Faults["kill"] != 3 {
		t.Errorf("%+v, %v", back, err)
	}
}

func FuzzIDOf(f *testing.F) {
	f.Add([]byte("torture\n12345678"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if id, ok := IDOf(body); ok && len(body) < bodyHeader {
			t.Errorf("%d of %d bytes", id, len(body))
		}
	})
}
