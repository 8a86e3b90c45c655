package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/proxy/internal/shardfake"
	"github.com/stratamq/stratamq/storelayer"
)

// bucket is a history that has what shards in memory have trimmed.
type bucket struct {
	shards map[message.ShardID]*shardfake.Shard
	reads  atomic.Int64
	hide   atomic.Bool // answers nothing, as if an object were missing
	hang   atomic.Bool // does not answer
	fail   atomic.Pointer[error]
}

func (b *bucket) err() error {
	if err := b.fail.Load(); err != nil {
		return *err
	}
	return nil
}

func (b *bucket) Read(ctx context.Context, shard message.ShardID, q message.Queue, from message.Offset, limit, _ int, seal uint64) ([]message.Located, error) {
	b.reads.Add(1)
	if b.hang.Load() {
		<-ctx.Done()
	}
	if err := errors.Join(b.err(), ctx.Err()); err != nil || b.hide.Load() {
		return nil, err
	}
	if seal != 1 {
		return nil, fmt.Errorf("the shard's last seal is 1, asked for %d", seal)
	}
	return b.shards[shard].Read(q, from, limit), nil
}

func (b *bucket) OffsetAt(_ context.Context, shard message.ShardID, q message.Queue, t int64, _ uint64) (message.Offset, bool, error) {
	offset, ok := b.shards[shard].ColdAt(q, t)
	return offset, ok, b.err()
}

func (b *bucket) Lookup(_ context.Context, shard message.ShardID, topic message.TopicID, kind message.IndexKind, text string, limit int) ([]message.Located, error) {
	var out []message.Located
	for id := range message.QueueID(4) {
		for _, m := range b.shards[shard].Read(message.Queue{Topic: topic, ID: id}, 0, 1000) {
			if shardfake.Matches(m.Stored, kind, text) && len(out) < limit {
				out = append(out, m)
			}
		}
	}
	return out, b.err()
}

// world is a proxy over two shards and a bucket, with a topic of three queues on them.
type world struct {
	t         *testing.T
	shards    []*shardfake.Shard
	bucket    *bucket
	directory *shardfake.Directory
	topic     *meta.Topic
	group     *meta.Group
	registry  *prometheus.Registry
	*proxy.Proxy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, shards: []*shardfake.Shard{shardfake.New(1), shardfake.New(2)}, directory: shardfake.NewDirectory(), registry: prometheus.NewRegistry()}
	w.bucket = &bucket{shards: map[message.ShardID]*shardfake.Shard{1: w.shards[0], 2: w.shards[1]}}
	w.topic = w.directory.Put(meta.Topic{Name: "orders", Queues: 3, Shards: []message.ShardID{1, 2, 1}, Type: meta.TypeNormal, Ack: meta.AckDurable})
	log := slog.New(slog.DiscardHandler)
	config := proxy.DefaultConfig()
	var err error
	w.Proxy, err = proxy.New(config, w.directory, []storelayer.Shard{w.shards[0], w.shards[1]}, w.bucket, proxy.NewMetrics(w.registry, 2, log), log)
	if err != nil {
		t.Fatal(err)
	}
	if w.group, err = w.Group(t.Context(), "billing"); err != nil {
		t.Fatal(err)
	}
	return w
}

// send stores one message; its body is its id.
func (w *world) send(queue int, id, tag string) {
	w.t.Helper()
	m := message.Message{Topic: "orders", Body: []byte(id)}
	for _, p := range [][2]string{{message.PropertyMessageID, id}, {message.PropertyTag, tag}, {message.PropertyKeys, "k" + tag}} {
		var err error
		if m.Properties, err = message.AppendProperty(m.Properties, p[0], p[1]); err != nil {
			w.t.Fatal(err)
		}
	}
	if _, err := w.Send(w.t.Context(), w.topic, queue, []message.Message{m}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) queue(id message.QueueID) message.Queue {
	return message.Queue{Topic: w.topic.ID, ID: id}
}

func (w *world) request(limit int, poll time.Duration) *proxy.ReceiveRequest {
	return &proxy.ReceiveRequest{Topic: w.topic, Group: w.group, Max: limit, Invisible: time.Hour, Client: "c", Poll: poll}
}

func (w *world) receive(req *proxy.ReceiveRequest) []proxy.Received {
	w.t.Helper()
	got, err := w.Receive(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func body(stored []byte) string { return string(message.Stored(stored).Body()) }

// TestRoundRobinOverShards sends without a queue and finds every queue used alike, and all of it received.
func TestRoundRobinOverShards(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.send(proxy.AnyQueue, strconv.Itoa(i), "a")
	}
	for id := range message.QueueID(3) {
		if state, err := w.Queue(t.Context(), w.topic, id); err != nil || state.Next != 10 {
			t.Errorf("queue %d: %+v %v", id, state, err)
		}
	}
	got := map[string]bool{}
	for range 10 {
		for _, d := range w.receive(w.request(32, 0)) {
			got[body(d.Bytes)] = true
		}
	}
	if len(got) != 30 {
		t.Errorf("%d messages", len(got))
	}
	if _, err := w.Send(t.Context(), w.topic, 3, []message.Message{{Topic: "orders"}}); !errors.Is(err, storelayer.ErrQueueNotFound) {
		t.Errorf("a queue beyond the last: %v", err)
	}
}

// TestSystemTopicHasAQueueOnEveryShard places the queues of a topic that names no shards.
func TestSystemTopicHasAQueueOnEveryShard(t *testing.T) {
	w := newWorld(t)
	w.topic = w.directory.Put(meta.Topic{Name: "%DLQ%billing", Queues: 1, Type: meta.TypeNormal, Ack: meta.AckDurable})
	if n := w.QueueCount(w.topic); n != 2 {
		t.Errorf("%d queues", n)
	}
	w.send(0, "a", "")
	w.send(1, "b", "")
	if w.shards[0].Count() != 1 || w.shards[1].Count() != 1 {
		t.Error("both went to one shard")
	}
}

// TestColdReceive leases messages that only the bucket has, filters them by tag, and settles the others
// without delivering them.
func TestColdReceive(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.send(0, strconv.Itoa(i), []string{"a", "b"}[i%2])
	}
	w.shards[0].Trim(w.queue(0), 7)
	req := w.request(32, 0)
	var err error
	if req.Filter, err = filter.CompileTag("b"); err != nil {
		t.Fatal(err)
	}
	var bodies strings.Builder
	for range 5 {
		for _, d := range w.receive(req) {
			bodies.WriteString(body(d.Bytes))
			if errs, err := w.Ack(t.Context(), []storelayer.Handle{d.Handle}); err != nil || errs[0] != nil {
				t.Errorf("ack: %v %v", errs, err)
			}
		}
	}
	if bodies.String() != "13579" {
		t.Errorf("received %s", bodies.String())
	}
	req.Filter = filter.Filter{}
	if got := w.receive(req); len(got) != 0 {
		t.Errorf("%d messages were not settled", len(got))
	}
}

// TestBucketDown makes reads fail: nothing of that queue is delivered, nothing else of it is leased, other
// queues go on, no attempt is counted, and when a read works again everything comes.
func TestBucketDown(t *testing.T) {
	for name, failing := range map[string]func(*bucket){
		"errors":       func(b *bucket) { err := errors.New("bucket is down"); b.fail.Store(&err) },
		"missing":      func(b *bucket) { b.hide.Store(true) },
		"manifest old": func(b *bucket) { err := fmt.Errorf("%w", context.DeadlineExceeded); b.fail.Store(&err) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for i := range 6 {
					w.send(0, "cold"+strconv.Itoa(i), "a")
					w.send(2, "hot"+strconv.Itoa(i), "a")
				}
				w.shards[0].Trim(w.queue(0), 4)
				failing(w.bucket)
				hot := 0
				for range 5 {
					for _, d := range w.receive(w.request(3, 0)) {
						if d.Handle.Queue.ID != 2 {
							t.Errorf("delivered %s", body(d.Bytes))
						}
						hot++
					}
				}
				if hot != 6 {
					t.Errorf("%d messages of the other queue", hot)
				}
				if v := gauge(t, w.registry, "strata_cold_closed_queues"); v != 1 {
					t.Errorf("%v queues are closed", v)
				}
				// A poll tries again from time to time, not all the time.
				before, start := w.bucket.reads.Load(), time.Now()
				if got := w.receive(w.request(3, 20*time.Second)); len(got) != 0 || time.Since(start) != 20*time.Second {
					t.Errorf("%d messages after %v", len(got), time.Since(start))
				}
				if n := w.bucket.reads.Load() - before; n < 3 || n > 10 {
					t.Errorf("%d reads in 20 s", n)
				}
				// It recovers while a poll is waiting.
				go func() {
					time.Sleep(2 * time.Second)
					w.bucket.fail.Store(nil)
					w.bucket.hide.Store(false)
				}()
				got := w.receive(w.request(32, 20*time.Second))
				got = append(got, w.receive(w.request(32, 0))...)
				if len(got) != 6 {
					t.Fatalf("%d messages after the bucket came back", len(got))
				}
				for i, d := range got {
					if body(d.Bytes) != "cold"+strconv.Itoa(i) || d.Handle.Attempt != 1 {
						t.Errorf("message %d: %s, attempt %d", i, body(d.Bytes), d.Handle.Attempt)
					}
				}
				if v := gauge(t, w.registry, "strata_cold_closed_queues"); v != 0 {
					t.Errorf("%v queues are closed", v)
				}
			})
		})
	}
}

func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestRetentionPassed finds leased messages gone from the bucket: they are settled, not delivered.
func TestRetentionPassed(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.send(0, strconv.Itoa(i), "a")
	}
	w.shards[0].Trim(w.queue(0), 2)
	gone := fmt.Errorf("history: %w", proxy.ErrGone)
	w.bucket.fail.Store(&gone)
	if got := w.receive(w.request(32, 0)); len(got) != 1 || body(got[0].Bytes) != "2" {
		t.Errorf("received %d", len(got))
	}
	w.bucket.fail.Store(nil)
	if got := w.receive(w.request(32, 0)); len(got) != 0 {
		t.Errorf("received %d that are gone", len(got))
	}
	// A pull hears where the queue begins.
	w.bucket.fail.Store(&gone)
	_, err := w.Pull(t.Context(), &proxy.PullRequest{Topic: w.topic, Max: 1})
	if _, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); !ok {
		t.Errorf("pull: %v", err)
	}
}

// A bucket that hangs holds a receive no longer than its poll, or 2 s; the queue is closed with an alarm meanwhile.
func TestBucketHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send(0, "a", "a")
		w.shards[0].Trim(w.queue(0), 1)
		w.bucket.hang.Store(true)
		start := time.Now()
		if got := w.receive(w.request(1, time.Second)); len(got) != 0 || time.Since(start) != 2*time.Second {
			t.Errorf("%d messages after %v", len(got), time.Since(start))
		}
		if v := gauge(t, w.registry, "strata_cold_closed_queues"); v != 1 {
			t.Errorf("%v queues are closed", v)
		}
		w.bucket.hang.Store(false)
		if got := w.receive(w.request(1, 20*time.Second)); len(got) != 1 || got[0].Handle.Attempt != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// TestClientGoneDuringColdRead does not blame the bucket for a client that has left.
func TestClientGoneDuringColdRead(t *testing.T) {
	w := newWorld(t)
	w.send(0, "a", "a")
	w.shards[0].Trim(w.queue(0), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := w.Receive(ctx, w.request(1, 0)); len(got) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v %v", got, err)
	}
	if got := w.receive(w.request(1, 0)); len(got) != 1 || got[0].Handle.Attempt != 1 {
		t.Errorf("%+v", got)
	}
}

// TestSeam reads a queue by pulls of random sizes while it is trimmed between them: the same offsets and
// bytes whatever lies where, nothing twice, nothing missing.
func TestSeam(t *testing.T) {
	crossed := 0
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t)
		const total = 200
		for i := range total {
			w.send(0, strconv.Itoa(i), "a")
		}
		trimmed, next := message.Offset(0), message.Offset(0)
		for next < total {
			if random.IntN(3) == 0 {
				trimmed = min(max(trimmed, next+message.Offset(random.IntN(40))), total)
				w.shards[0].Trim(w.queue(0), trimmed)
			}
			got, err := w.Pull(t.Context(), &proxy.PullRequest{Topic: w.topic, Offset: next, Max: 1 + random.IntN(32)})
			if err != nil || len(got.Messages) == 0 {
				t.Fatalf("seed %d: at %d: %v", seed, next, err)
			}
			if next < trimmed {
				crossed++
			}
			for _, m := range got.Messages {
				if m.Offset != next || body(m.Stored) != strconv.Itoa(int(next)) {
					t.Fatalf("seed %d: at %d got offset %d, %s", seed, next, m.Offset, body(m.Stored))
				}
				next++
			}
			if got.Next != next {
				t.Fatalf("seed %d: next %d, want %d", seed, got.Next, next)
			}
		}
	}
	if crossed < 1000 {
		t.Errorf("only %d reads were cold", crossed)
	}
}

// TestLookup finds messages by key and by id in both tiers, newest first, none twice.
func TestLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 6 {
			time.Sleep(time.Second)
			w.send(i%3, strconv.Itoa(i), "a")
		}
		w.shards[0].Trim(w.queue(0), 1)
		w.shards[1].Trim(w.queue(1), 2)
		got, err := w.Lookup(t.Context(), w.topic, message.IndexByKey, "ka", 4)
		var bodies strings.Builder
		for _, m := range got {
			bodies.WriteString(body(m.Stored))
		}
		if err != nil || bodies.String() != "5432" {
			t.Errorf("by key: %s %v", bodies.String(), err)
		}
		if got, err := w.Lookup(t.Context(), w.topic, message.IndexByID, "1", 4); err != nil || len(got) != 1 || body(got[0].Stored) != "1" {
			t.Errorf("by id: %v %v", got, err)
		}
		for offset, want := range map[message.Offset]string{0: "0", 1: "3"} {
			if m, err := w.MessageAt(t.Context(), w.topic, 0, offset); err != nil || body(m.Stored) != want {
				t.Errorf("at %d: %v", offset, err)
			}
		}
		if _, err := w.MessageAt(t.Context(), w.topic, 0, 2); err == nil {
			t.Error("a message at the end")
		}
	})
}

// TestOffsetAtOverTheSeam searches by time in every tier.
func TestOffsetAtOverTheSeam(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		for i := range 6 {
			w.send(0, strconv.Itoa(i), "a")
			time.Sleep(time.Second)
		}
		for trimmed := range message.Offset(7) {
			w.shards[0].Trim(w.queue(0), trimmed)
			for i := range 8 {
				want := message.Offset(min(i, 6))
				got, err := w.OffsetAt(t.Context(), w.topic, 0, start.Add(time.Duration(i)*time.Second).UnixMilli())
				if err != nil || got != want {
					t.Errorf("trimmed to %d, at %d s: %d %v, want %d", trimmed, i, got, err, want)
				}
			}
		}
	})
}

// TestPullsAreAllWoken parks several pulls of one queue: one arrival wakes each of them.
func TestPullsAreAllWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		got := make(chan int, 3)
		for range 3 {
			go func() {
				pulled, err := w.Pull(t.Context(), &proxy.PullRequest{Topic: w.topic, Max: 1, Poll: time.Minute})
				if err != nil {
					t.Error(err)
				}
				got <- len(pulled.Messages)
			}()
		}
		synctest.Wait()
		w.send(0, "a", "a")
		for range 3 {
			if n := <-got; n != 1 {
				t.Errorf("%d messages", n)
			}
		}
	})
}

// TestMetrics counts under RocketMQ's names, and the topics beyond the bound together.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.send(0, "abc", "a")
	w.receive(w.request(1, 0))
	for _, name := range []string{"second", "third", "fourth"} {
		w.topic = w.directory.Put(meta.Topic{Name: name, Queues: 1, Shards: []message.ShardID{1}, Type: meta.TypeNormal, Ack: meta.AckDurable})
		w.send(0, "x", "a")
	}
	w.Sessions().Put(proxy.Client{ID: "c", Kind: proxy.PushConsumer, Language: "GO", Protocol: "grpc"}, time.Now())
	if n := testutil.CollectAndCount(w.registry, "rocketmq_messages_in_total"); n != 3 {
		t.Errorf("%d series of topics, want two and one for the others", n)
	}
	for name, want := range map[string]int{
		"rocketmq_messages_out_total": 2, "rocketmq_throughput_in_total": 3, "rocketmq_throughput_out_total": 1, "rocketmq_message_size": 3,
	} {
		if n := testutil.CollectAndCount(w.registry, name); n != want {
			t.Errorf("%s: %d series, want %d", name, n, want)
		}
	}
}

// TestSessionsAreBounded remembers no more clients than it may.
func TestSessionsAreBounded(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	config := proxy.DefaultConfig()
	config.MaxSessions = 1
	p, err := proxy.New(config, shardfake.NewDirectory(), nil, nil, proxy.NewMetrics(prometheus.NewRegistry(), 1, log), log)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, id := range []string{"a", "a", "b"} { // a client that is known may say more
		if got, want := p.Sessions().Put(proxy.Client{ID: id}, now), id == "a"; got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	p.Sessions().Touch("b", proxy.Client{}, now)
	if _, ok := p.Sessions().Get("b"); ok || len(p.Sessions().Clients()) != 1 {
		t.Error("a sign of life goes past the bound")
	}
}

func TestConfig(t *testing.T) {
	if err := proxy.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := proxy.Config{}.Validate()
	want := "session_expiry: 0s is shorter than 30s, the slowest client's heartbeat\nmax_sessions: 0, want at least 1\nmetric_topics: 0, want at least 1"
	if err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}
