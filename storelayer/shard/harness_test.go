package shard

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/clock"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
)

var testWall = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	testTopic message.TopicID = 7
	deadTopic message.TopicID = 99
)

// deadLetters sends every group's dead letters to one topic.
type deadLetters struct {
	mu  sync.Mutex
	err error
}

func (d *deadLetters) DeadLetterQueue(_ context.Context, group string) (string, message.Queue, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return "%DLQ%" + group, message.Queue{Topic: deadTopic}, d.err
}

func (d *deadLetters) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// rig is a shard on a disk in memory, with a clock that stands still.
type rig struct {
	*Shard
	t     testing.TB
	fs    vfs.FS
	clock *clock.Manual
	dead  *deadLetters
	opts  Options

	cancel context.CancelFunc
	result chan error
}

// newRig makes a new shard on fs.
func newRig(t testing.TB, fsys vfs.FS, seed uint64) *rig {
	t.Helper()
	return newRigOf(t, fsys, seed, 128<<10)
}

// newRigOf makes one with segments of a size in bytes.
func newRigOf(t testing.TB, fsys vfs.FS, seed uint64, segmentSize int64) *rig {
	t.Helper()
	r := &rig{t: t, fs: fsys, clock: clock.NewManual(testWall), dead: &deadLetters{}}
	r.opts = Options{
		Config: Config{SegmentSize: segmentSize, MaxAttempts: 3},
		ID:     1, FS: fsys, Dir: "/shard", Clock: r.clock, Rand: testRand(seed),
		Logger: discard(), Create: true,
		NextEpoch:   func(_ context.Context, last message.Epoch) (message.Epoch, error) { return last + 1, nil },
		DeadLetters: r.dead,
		Events:      Events{Log: commitlog.Events{}},
	}
	r.open()
	return r
}

// open opens and runs the shard; the test stops it.
func (r *rig) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatalf("open: %v", err)
	}
}

func (r *rig) tryOpen() error {
	s, err := Open(r.t.Context(), r.opts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	r.Shard, r.cancel, r.result = s, cancel, make(chan error, 1)
	go func() { r.result <- s.Run(ctx) }()
	return nil
}

// stop ends the shard and returns what Run said.
func (r *rig) stop() error {
	r.t.Helper()
	return r.stopWith(func() {})
}

// stopWith ends the shard and looks at it before its files are closed.
func (r *rig) stopWith(look func()) error {
	r.t.Helper()
	r.cancel()
	err := <-r.result
	look()
	if closeErr := r.Close(); closeErr != nil {
		r.t.Errorf("close: %v", closeErr)
	}
	return err
}

// restart stops the shard in good order and opens it again.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.stop(); err != nil {
		r.t.Fatalf("run: %v", err)
	}
	r.open()
}

// text is a message of the test topic.
func text(q message.QueueID, body, tag string, keys ...string) message.Message {
	var props []byte
	add := func(key, value string) {
		var err error
		if props, err = message.AppendProperty(props, key, value); err != nil {
			panic(err)
		}
	}
	add(message.PropertyMessageID, "id-"+body)
	if tag != "" {
		add(message.PropertyTag, tag)
	}
	if len(keys) > 0 {
		add(message.PropertyKeys, strings.Join(keys, " "))
	}
	return message.Message{
		Topic: "orders", Queue: message.Queue{Topic: testTopic, ID: q}, Body: []byte(body),
		BodyCRC: message.BodyCRC([]byte(body)), BornTime: testWall.UnixMilli(), Properties: props,
	}
}

// send appends messages and fails the test if that fails.
func (r *rig) send(messages ...message.Message) []storelayer.Appended {
	r.t.Helper()
	places, err := r.Append(r.t.Context(), &storelayer.AppendRequest{Messages: messages})
	if err != nil {
		r.t.Fatalf("append: %v", err)
	}
	return places
}

// leaseRequest asks for up to n messages of all queues for ten seconds.
func leaseRequest(group string, n int) *storelayer.LeaseRequest {
	return &storelayer.LeaseRequest{
		Group: group, Generation: 1, Topic: testTopic, Queues: []message.QueueID{0, 1, 2, 3}, Max: n, MaxBytes: 8 << 20,
		Invisible: 10 * time.Second, Client: "c1", MaxAttempts: 3, Start: storelayer.StartFrom{Policy: storelayer.StartFirst},
	}
}

func (r *rig) lease(req *storelayer.LeaseRequest) []storelayer.Delivery {
	r.t.Helper()
	got, err := r.Lease(r.t.Context(), req)
	if err != nil {
		r.t.Fatalf("lease: %v", err)
	}
	return got.Deliveries
}

func (r *rig) ack(deliveries ...storelayer.Delivery) {
	r.t.Helper()
	handles := make([]storelayer.Handle, len(deliveries))
	for i, d := range deliveries {
		handles[i] = d.Handle
	}
	errs, err := r.Ack(r.t.Context(), handles)
	if err != nil {
		r.t.Fatalf("ack: %v", err)
	}
	for i, err := range errs {
		if err != nil {
			r.t.Fatalf("ack of %d: %v", handles[i].Offset, err)
		}
	}
}

// bodies are the bodies of deliveries, with their attempt.
func bodies(deliveries []storelayer.Delivery) string {
	var all []string
	for _, d := range deliveries {
		all = append(all, fmt.Sprintf("%s#%d", message.Stored(d.Record).Body(), d.Handle.Attempt))
	}
	return strings.Join(all, " ")
}

// dump is the derived state of a shard as canonical text.
func (s *Shard) dump(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := s.table.Dump(&b); err != nil {
		t.Fatalf("dump: %v", err)
	}
	var groups []string
	for _, p := range s.allProgress() {
		var g strings.Builder
		p.mu.Lock()
		err := p.mu.Dump(&g)
		p.mu.Unlock()
		if err != nil {
			t.Fatalf("dump: %v", err)
		}
		// A group that somebody asked for and that has read nothing is not in the log.
		if strings.Count(g.String(), "\n") > 1 {
			groups = append(groups, g.String())
		}
	}
	slices.Sort(groups)
	return b.String() + strings.Join(groups, "")
}

func newMemFS(seed uint64) *memfs.FS { return memfs.New(seed) }

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// holdSyncs makes every sync of the log wait until the channel is closed.
func (r *rig) holdSyncs() chan struct{} {
	hold := make(chan struct{})
	r.hookLog(memfs.OpSync, func() memfs.Fault {
		<-hold
		return memfs.Fault{}
	})
	return hold
}

// failSyncs makes every sync of the log fail.
func (r *rig) failSyncs() {
	r.hookLog(memfs.OpSync, func() memfs.Fault { return memfs.Fault{Err: memfs.ErrInjected} })
}

// failReads makes every read of the log fail until the returned function is called.
func (r *rig) failReads() (heal func()) {
	r.hookLog(memfs.OpMapRead, func() memfs.Fault { return memfs.Fault{Err: memfs.ErrInjected} })
	return func() { r.fs.(*memfs.FS).SetHook(nil) }
}

func (r *rig) hookLog(kind memfs.Kind, fault func() memfs.Fault) {
	r.fs.(*memfs.FS).SetHook(func(op memfs.Op) memfs.Fault {
		if op.Kind == kind && strings.HasPrefix(op.Path, "/shard/"+logDir) {
			return fault()
		}
		return memfs.Fault{}
	})
}
