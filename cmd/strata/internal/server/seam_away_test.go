package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// A bucket that cannot be read makes errors and empty polls, never a message that is skipped or settled, and everything
// goes on when it is back.
func TestBucketAway(t *testing.T) {
	t.Run("file", func(t *testing.T) {
		dir := t.TempDir()
		objects := filepath.Join(dir, "objects")
		move := func(from, to string) {
			entries, err := os.ReadDir(from)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
		}
		elsewhere := t.TempDir()
		testBucketAway(t, dir, tiering.Location{Scheme: tiering.SchemeFile, Dir: objects}, func(away bool) {
			if away {
				move(objects, elsewhere)
			} else {
				move(elsewhere, objects)
			}
		})
	})
	t.Run("s3", func(t *testing.T) {
		server, location := s3Bucket(t)
		var gone atomic.Bool
		location.Endpoint = server.Proxy(t, func(next http.RoundTripper) http.RoundTripper {
			return s3server.RoundTrip(func(r *http.Request) (*http.Response, error) {
				if gone.Load() {
					return nil, errors.New("the bucket is away")
				}
				return next.RoundTrip(r)
			})
		})
		testBucketAway(t, t.TempDir(), location, gone.Store)
	})
}

func testBucketAway(t *testing.T, dir string, objects tiering.Location, away func(bool)) {
	const topic = "orders"
	r := openRig(t, rigConfig(dir, objects.String(), time.Millisecond))
	past := newPast(r, 3, map[string]int{topic: 1})
	q := past.queues[0]
	fill(t, past, 300)
	early := receiveSome(t, past, "early", topic)

	// A new process has nothing in its caches.
	r.waitFor("every full segment to be trimmed", func() bool { s := r.seams(); return s.local > 0 && s.local == s.active })
	r.stop()
	r = openRig(t, r.config)
	past.rig = r
	reads := &reader{pastSent: past, rng: rand.New(rand.NewPCG(3, 0)), tally: newTally()}
	recorded := q.recorded()
	state, err := r.shard.Queue(t.Context(), q.queue)
	if err != nil || state.FirstLocal <= message.Offset(len(early)) {
		t.Fatalf("queue %+v, %v", state, err)
	}

	away(true)
	ctx, cancel := context.WithTimeout(t.Context(), rigLimit)
	defer cancel()
	brief := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // the driver would try for longer
		defer cancel()
		return do(ctx)
	}
	for _, group := range []string{"early", "late"} {
		for range 3 {
			err := brief(func(ctx context.Context) error {
				status, got, err := receive(ctx, r.client, group, group, topic, "*", 32, 700*time.Millisecond)
				if err == nil && (len(got) > 0 || status.GetCode() == pb.Code_OK) {
					t.Errorf("group %s received %d messages without a bucket: %v", group, len(got), status)
				}
				return err
			})
			if err != nil {
				t.Errorf("receive by %s without a bucket is not answered: %v", group, err)
			}
		}
	}
	if err := brief(func(ctx context.Context) error {
		got, next, err := reads.pullOnce(ctx, q, 0, 32, "*")
		if len(got) > 0 || next > 0 {
			t.Errorf("pull without a bucket: %d messages, next offset %d", len(got), next)
		}
		return err
	}); err == nil {
		t.Error("a pull without a bucket is no error")
	}
	cold := recorded[1]
	if err := brief(func(ctx context.Context) error {
		found, err := reads.query(ctx, &adminv1.QueryMessagesRequest{Topic: topic, By: &adminv1.QueryMessagesRequest_MessageId{MessageId: cold.id}})
		if len(found) > 0 {
			t.Errorf("query without a bucket found %s", found[0].id)
		}
		return err
	}); err == nil {
		t.Error("a query without a bucket is no error")
	}
	// What is local goes on.
	if got, next, err := reads.pullOnce(ctx, q, int(state.FirstLocal), 32, "*"); err != nil || len(got) == 0 || next != int(state.FirstLocal)+len(got) {
		t.Errorf("pull of what is local without a bucket: %d messages, next offset %d, %v", len(got), next, err)
	}
	groups, err := r.shard.Groups(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		settled := int64(g.Committed) + g.Settled
		if g.Group == "early" && settled != int64(len(early)) || g.Group == "late" && settled != 0 {
			t.Errorf("group %s has settled %d messages without a bucket: %+v", g.Group, settled, g)
		}
	}

	away(false)
	ctx, cancel = context.WithTimeout(t.Context(), 2*rigLimit)
	defer cancel()
	receiveRest(ctx, t, reads, "early", topic, early)
	receiveRest(ctx, t, reads, "late", topic, nil)
	if _, err := reads.readOn(ctx, q, 0, len(recorded), 32); err != nil {
		t.Error(err)
	}
	if err := reads.byID(ctx); err != nil {
		t.Error(err)
	}
}

// fill sends so many messages and waits until they are recorded.
func fill(t *testing.T, past *pastSent, messages int) {
	t.Helper()
	following, stop := context.WithCancel(t.Context())
	var recorders errgroup.Group
	for _, q := range past.queues {
		recorders.Go(func() error { return past.record(following, q) })
	}
	tokens := make(chan struct{}, messages)
	for range messages {
		tokens <- struct{}{}
	}
	close(tokens)
	err := past.produce(t.Context(), 0, tokens)
	if err == nil {
		err = past.waitRecorded()
	}
	stop()
	if err := errors.Join(err, recorders.Wait()); err != nil {
		t.Fatal(err)
	}
}

// receiveSome receives and acknowledges once.
func receiveSome(t *testing.T, past *pastSent, group, topic string) map[*sent]bool {
	t.Helper()
	messages, err := receiveAcked(t.Context(), past.rig.client, group, group, topic, "*", 10, 10*time.Second)
	if err != nil || len(messages) == 0 {
		t.Fatalf("first receive of group %s: %d messages, %v", group, len(messages), err)
	}
	got := map[*sent]bool{}
	for _, wire := range messages {
		m, err := past.check(ofWire(wire))
		if err != nil {
			t.Fatal(err)
		}
		got[m] = true
	}
	return got
}

// receiveRest receives all that a group has not got yet, each once and at its first attempt.
func receiveRest(ctx context.Context, t *testing.T, r *reader, group, topic string, got map[*sent]bool) {
	t.Helper()
	if err := r.consumeRest(ctx, group, topic, "*", got); err != nil {
		t.Errorf("after the bucket came back: %s", strings.TrimSpace(err.Error()))
	}
}
