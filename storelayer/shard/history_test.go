package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
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
}

// actor does random things to a shard.
type actor struct {
	*rig
	rng     *rand.Rand
	ledger  ledger
	n       int
	leased  []storelayer.Delivery
	unknown map[string]bool // bodies whose send was answered with an error
}

func newActor(r *rig, seed uint64) *actor {
	return &actor{
		rig: r, rng: rand.New(rand.NewPCG(seed, 3)), unknown: map[string]bool{},
		ledger: ledger{sent: map[string]message.Offset{}, settled: map[string]bool{}},
	}
}

var actorGroups = []string{"g1", "g2"}

// step does one random thing; an error is what the shard said.
func (a *actor) step() error {
	group := actorGroups[a.rng.IntN(len(actorGroups))]
	switch k := a.rng.IntN(20); {
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
				if body := string(message.Stored(d.Record).Body()); a.ledger.settled[group+" "+body] {
					a.t.Fatalf("%.20q was acknowledged by %s and comes again", body, group)
				}
			}
		}
	}
}

// TestRebuildEqualsWhatWas: derived state is the same after a restart, from a snapshot or from the log alone.
func TestRebuildEqualsWhatWas(t *testing.T) {
	n := histories(t, 1000)
	for seed := range uint64(n) {
		rebuildHistory(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d; repeat with -run %s and that seed first", seed, t.Name())
		}
	}
	t.Logf("%d histories", n)
}

func rebuildHistory(t *testing.T, seed uint64) {
	t.Helper()
	fsys := memfs.New(seed)
	a := newActor(newRig(t, fsys, seed), seed)
	for range 30 + a.rng.IntN(60) {
		if err := a.step(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
			return
		}
		if a.rng.IntN(25) == 0 {
			a.log.Roll()
		}
	}
	if err := a.stop(); err != nil {
		t.Errorf("seed %d: run: %v", seed, err)
		return
	}
	want := a.dump(t)
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
	cuts, acked := 0, 0
	for seed := range uint64(n) {
		c, k := crashHistory(t, seed)
		cuts, acked = cuts+c, acked+k
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d histories, %d power cuts, %d messages acknowledged", n, cuts, acked)
	if acked == 0 || cuts < n {
		t.Errorf("%d power cuts and %d acknowledged messages prove nothing", cuts, acked)
	}
}

func crashHistory(t *testing.T, seed uint64) (cuts, acked int) {
	t.Helper()
	fsys := memfs.New(seed)
	a := newActor(newRig(t, fsys, seed), seed)
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
		// What the dying shard says no longer reaches anybody.
		a.cancel()
		_ = <-a.result
		_ = a.Close()
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
