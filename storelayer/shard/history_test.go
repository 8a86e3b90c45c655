package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
)

// histories is how many random histories a test runs; the environment asks for more.
func histories(t *testing.T, usual int) int {
	t.Helper()
	if text := os.Getenv("STRATA_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("STRATA_HISTORIES: %v", err)
		}
		return n
	}
	if testing.Short() {
		return usual / 10
	}
	return usual
}

// ledger is what a test was told, and so what a shard must still know after a restart.
type ledger struct {
	sent    map[string]message.Offset // body → offset, acknowledged; bodies name their queue
	settled map[string]bool           // group and body: an ack was answered
	dead    map[string]bool           // group and body: a move to the dead letters was answered
}

// actor does random things to a shard.
type actor struct {
	*rig
	rng     *rand.Rand
	ledger  ledger
	n       int
	leased  []storelayer.Delivery
	unknown map[string]bool // bodies whose send was answered with an error
	side    message.TopicID // a topic that comes and goes
}

func newActor(r *rig, seed uint64) *actor {
	return &actor{
		rig: r, rng: rand.New(rand.NewPCG(seed, 3)), unknown: map[string]bool{}, side: 1000,
		ledger: ledger{sent: map[string]message.Offset{}, settled: map[string]bool{}, dead: map[string]bool{}},
	}
}

var actorGroups = []string{"g1", "g2"}

// step does one random thing; an error is what the shard said.
func (a *actor) step() error {
	group := actorGroups[a.rng.IntN(len(actorGroups))]
	switch k := a.rng.IntN(23); {
	case k == 20 && len(a.leased) > 0:
		return a.deadLetterOne()
	case k == 21:
		return a.moveOffset()
	case k == 22:
		return a.visitSideTopic(group)
	case k < 8:
		return a.sendSome()
	case k < 12:
		req := leaseRequest(group, 1+a.rng.IntN(8))
		req.AutoRenew = a.rng.IntN(4) == 0
		req.Client = fmt.Sprintf("client-%d", a.rng.IntN(3))
		got, err := a.Lease(a.t.Context(), req)
		a.leased = append(a.leased, got.Deliveries...)
		return err
	case k < 16:
		return a.ackSome()
	case k == 16 && len(a.leased) > 0:
		d := a.leased[a.rng.IntN(len(a.leased))]
		_, err := a.Change(a.t.Context(), &storelayer.ChangeRequest{
			Handle: d.Handle, Invisible: time.Duration(a.rng.IntN(5)) * time.Second, Uncounted: a.rng.IntN(2) == 0,
		})
		return ignoreInvalid(err)
	case k == 17 && len(a.leased) > 0:
		return a.Release(a.t.Context(), []storelayer.Handle{a.leased[a.rng.IntN(len(a.leased))].Handle})
	case k == 18:
		return a.Gone(a.t.Context(), fmt.Sprintf("client-%d", a.rng.IntN(3)))
	case k == 19:
		a.clock.Advance(time.Duration(a.rng.IntN(4000)) * time.Millisecond)
	}
	return nil
}

func ignoreInvalid(err error) error {
	if errors.Is(err, storelayer.ErrInvalidHandle) {
		return nil
	}
	return err
}

func (a *actor) sendSome() error {
	var messages []message.Message
	for range 1 + a.rng.IntN(4) {
		q := message.QueueID(a.rng.IntN(4))
		m := text(q, fmt.Sprintf("%d/%d", q, a.n), "t"+strconv.Itoa(a.n%3), "k"+strconv.Itoa(a.n%7))
		if a.rng.IntN(6) == 0 {
			m.Body = append(m.Body, make([]byte, a.rng.IntN(20_000))...)
			m.BodyCRC = message.BodyCRC(m.Body)
		}
		a.n++
		messages = append(messages, m)
	}
	places, err := a.Append(a.t.Context(), &storelayer.AppendRequest{Messages: messages})
	for i, m := range messages {
		if err != nil {
			a.unknown[string(m.Body)] = true
			continue
		}
		a.ledger.sent[string(m.Body)] = places[i].Offset
	}
	return err
}

func (a *actor) ackSome() error {
	if len(a.leased) == 0 {
		return nil
	}
	i := a.rng.IntN(len(a.leased))
	d := a.leased[i]
	a.leased = append(a.leased[:i], a.leased[i+1:]...)
	errs, err := a.Ack(a.t.Context(), []storelayer.Handle{d.Handle})
	if err != nil {
		return err
	}
	if errs[0] == nil {
		a.ledger.settled[d.Handle.Group+" "+string(message.Stored(d.Record).Body())] = true
	}
	return ignoreInvalid(errs[0])
}

// deadLetterOne moves a leased message to the dead letters.
func (a *actor) deadLetterOne() error {
	d := a.leased[a.rng.IntN(len(a.leased))]
	key := d.Handle.Group + " " + string(message.Stored(d.Record).Body())
	err := a.DeadLetter(a.t.Context(), d.Handle)
	if err == nil {
		a.ledger.dead[key] = true
	}
	return ignoreInvalid(err)
}

// moveOffset sets the offset of a group that nobody else uses, or forgets it.
func (a *actor) moveOffset() error {
	q := message.Queue{Topic: testTopic, ID: message.QueueID(a.rng.IntN(4))}
	state, err := a.Queue(a.t.Context(), q)
	if err != nil {
		return err
	}
	req := &storelayer.ResetRequest{Group: "mover", Generation: 1, Queue: q, Offset: message.Offset(a.rng.Int64N(int64(state.Next) + 1))}
	switch a.rng.IntN(4) {
	case 0:
		return a.Commit(a.t.Context(), req)
	case 1:
		return a.DeleteGroup(a.t.Context(), "mover", 1)
	case 2:
		_, err := a.Lease(a.t.Context(), leaseRequest("mover", 4))
		return err
	default:
		return a.Reset(a.t.Context(), req)
	}
}

// visitSideTopic sends to a topic, leases from it, and sometimes ends it; the next visit finds another one.
func (a *actor) visitSideTopic(group string) error {
	m := text(0, fmt.Sprintf("side/%d", a.n), "")
	m.Queue.Topic = a.side
	a.n++
	if _, err := a.Append(a.t.Context(), &storelayer.AppendRequest{Messages: []message.Message{m}}); err != nil {
		return err
	}
	req := leaseRequest(group, 1)
	req.Topic = a.side
	if _, err := a.Lease(a.t.Context(), req); err != nil || a.rng.IntN(3) > 0 {
		return err
	}
	a.side++
	return a.DeleteTopic(a.t.Context(), a.side-1)
}

// check compares the shard with the ledger: every acknowledged message is at its offset with its bytes, every
// queue is without holes, nothing is there that was never sent, and nothing settled is delivered again.
func (a *actor) check() {
	a.t.Helper()
	found := map[string]message.Offset{}
	for id := range message.QueueID(4) {
		q := message.Queue{Topic: testTopic, ID: id}
		for offset := message.Offset(0); ; {
			f, err := a.Fetch(a.t.Context(), &storelayer.FetchRequest{Queue: q, Offset: offset, Max: 100, MaxBytes: 1 << 20})
			if err != nil {
				a.t.Fatalf("fetch: %v", err)
			}
			if len(f.Messages) == 0 {
				if offset != f.Next {
					a.t.Fatalf("queue %d has a hole at %d, its end is %d", id, offset, f.Next)
				}
				break
			}
			for _, m := range f.Messages {
				body := string(message.Stored(m.Stored).Body())
				if m.Offset != offset || message.Stored(m.Stored).Offset() != offset {
					a.t.Fatalf("queue %d: offset %d where %d belongs", id, m.Offset, offset)
				}
				if _, twice := found[body]; twice {
					a.t.Fatalf("%.20q is there twice", body)
				}
				found[body] = offset
				if _, sent := a.ledger.sent[body]; !sent && !a.unknown[body] {
					a.t.Fatalf("%.20q was never sent", body)
				}
				offset++
			}
		}
	}
	for body, offset := range a.ledger.sent {
		if got, ok := found[body]; !ok || got != offset {
			a.t.Fatalf("acknowledged %.20q at offset %d: found %v at %d", body, offset, ok, got)
		}
	}
	a.checkDeadLetters()
	for _, group := range actorGroups {
		a.clock.Advance(4 * time.Hour) // every lease has ended
		for {
			req := leaseRequest(group, 32)
			req.Invisible, req.MaxAttempts = 24*time.Hour, 1<<15
			got, err := a.Lease(a.t.Context(), req)
			if err != nil {
				a.t.Fatalf("lease: %v", err)
			}
			if len(got.Deliveries) == 0 {
				break
			}
			for _, d := range got.Deliveries {
				if key := group + " " + string(message.Stored(d.Record).Body()); a.ledger.settled[key] || a.ledger.dead[key] {
					a.t.Fatalf("%.20q was settled and comes again", key)
				}
			}
		}
	}
}

// checkDeadLetters: what was moved, and was not acknowledged before, has exactly one copy; nothing has two.
func (a *actor) checkDeadLetters() {
	a.t.Helper()
	copies := map[string]int{}
	q := message.Queue{Topic: deadTopic}
	for offset := range a.table.Next(q) {
		stored, err := a.read(q, offset)
		if err != nil {
			a.t.Fatalf("dead letter %d: %v", offset, err)
		}
		m, err := message.DecodeStored(stored)
		if err != nil {
			a.t.Fatalf("dead letter %d: %v", offset, err)
		}
		key := strings.TrimPrefix(m.Topic, "%DLQ%") + " " + string(m.Body)
		if copies[key]++; copies[key] > 1 {
			a.t.Fatalf("%.20q has two dead letters", key)
		}
	}
	for key := range a.ledger.dead {
		if copies[key] == 0 && !a.ledger.settled[key] {
			a.t.Fatalf("%.20q was moved to the dead letters and is not there", key)
		}
	}
}

// TestRebuildEqualsWhatWas: derived state is the same after a restart, from a snapshot or from the log alone.
func TestRebuildEqualsWhatWas(t *testing.T) {
	n := histories(t, 1000)
	eachSeed(t, n, func(t *testing.T, seed uint64) { rebuildHistory(t, seed) })
	t.Logf("%d histories", n)
}

// lanes is how many histories run side by side: each is a handful of goroutines that mostly wait for one another.
const lanes = 4

// eachSeed runs a history for each of n seeds; a lane ends at its first failure.
func eachSeed(t *testing.T, n int, history func(t *testing.T, seed uint64)) {
	t.Helper()
	t.Run("lanes", func(t *testing.T) {
		for lane := range lanes {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				for seed := lane; seed < n && !t.Failed(); seed += lanes {
					history(t, uint64(seed))
				}
			})
		}
	})
}

func rebuildHistory(t *testing.T, seed uint64) {
	t.Helper()
	fsys := memfs.New(seed)
	a := newActor(newRigOf(t, fsys, seed, commitlog.MinSegmentSize), seed)
	for range 30 + a.rng.IntN(60) {
		if err := a.step(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		if a.rng.IntN(25) == 0 {
			a.log.Roll()
		}
	}
	var want string
	if err := a.stopWith(func() { want = a.dump(t) }); err != nil {
		t.Errorf("seed %d: run: %v", seed, err)
		return
	}
	for _, loss := range []struct{ what, dir string }{{"nothing", ""}, {"queue files", queueDir}, {"snapshots", snapshotDir}} {
		if loss.dir != "" {
			removeAll(t, fsys, path.Join("/shard", loss.dir))
		}
		a.open()
		got := a.dump(t)
		if got != want {
			t.Errorf("seed %d, %s deleted: the state differs\n%s", seed, loss.what, firstDifference(got, want))
		}
		if err := a.stop(); err != nil {
			t.Errorf("seed %d: run: %v", seed, err)
		}
	}
}

func removeAll(t *testing.T, fsys *memfs.FS, dir string) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := fsys.Remove(path.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCrashHistories: after a power cut at any moment everything acknowledged is there.
func TestCrashHistories(t *testing.T) {
	n := histories(t, 1500)
	var cuts, acked atomic.Int64
	eachSeed(t, n, func(t *testing.T, seed uint64) {
		c, k := crashHistory(t, seed)
		cuts.Add(int64(c))
		acked.Add(int64(k))
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	t.Logf("%d histories, %d power cuts, %d messages acknowledged", n, cuts.Load(), acked.Load())
	if acked.Load() == 0 || cuts.Load() < int64(n) {
		t.Errorf("%d power cuts and %d acknowledged messages prove nothing", cuts.Load(), acked.Load())
	}
}

func crashHistory(t *testing.T, seed uint64) (cuts, acked int) {
	t.Helper()
	fsys := memfs.New(seed)
	a := newActor(newRigOf(t, fsys, seed, commitlog.MinSegmentSize), seed)
	for range 1 + a.rng.IntN(3) {
		for range a.rng.IntN(40) {
			if err := a.step(); err != nil {
				t.Errorf("seed %d: %v", seed, err)
				return cuts, acked
			}
			if a.rng.IntN(20) == 0 {
				a.log.Roll()
			}
		}
		fsys.Stop()
		next := fsys.Crash(a.rng.Uint64(), memfs.CrashOptions{})
		a.cancel()
		// What the dying shard says no longer reaches anybody.
		_ = errors.Join(<-a.result, a.Close())
		cuts++
		fsys, a.fs, a.opts.FS = next, next, next
		a.leased = nil
		a.open()
		a.check()
		if t.Failed() {
			return cuts, acked
		}
	}
	if err := a.stop(); err != nil {
		t.Errorf("seed %d: run: %v", seed, err)
	}
	return cuts, len(a.ledger.sent)
}

// firstDifference shows where two dumps part.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is  %s\nand was     %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, there were %d", len(g), len(w))
}
