package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/shard"
)

// openServer opens a broker in a new folder, and runs its shard and its catalog alone.
func openServer(t *testing.T) *Server {
	t.Helper()
	c := config.Default()
	c.DataDir, c.GRPCAddr, c.HTTPAddr = t.TempDir(), "127.0.0.1:0", "127.0.0.1:0"
	c.ObjectStore, c.SegmentSize, c.DiskMark = "file://"+filepath.Join(c.DataDir, "objects"), 1<<20, 0
	s, err := Open(t.Context(), c, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 2)
	go func() { done <- s.shard.Run(ctx) }()
	go func() { done <- s.catalog.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.catalog.Ready()
	return s
}

// store appends a message of a topic, whether or not there is a record of it.
func store(t *testing.T, s *Server, topic string, q message.Queue) {
	t.Helper()
	m := message.Message{Topic: topic, Queue: q, Body: []byte("x"), BodyCRC: message.BodyCRC([]byte("x"))}
	if _, err := s.shard.Append(t.Context(), &storelayer.AppendRequest{Messages: []message.Message{m}}); err != nil {
		t.Fatal(err)
	}
}

// TestLostTopicIsRestored: a topic that has messages and no record comes back from them, under its id. What is
// known stays as it is, and so does a topic that was deleted.
func TestLostTopicIsRestored(t *testing.T) {
	s := openServer(t)
	known, err := s.catalog.CreateTopic(t.Context(), meta.Topic{Name: "known", Queues: 4, Type: meta.TypeNormal, Ack: meta.AckDurable})
	if err != nil {
		t.Fatal(err)
	}
	store(t, s, "known", message.Queue{Topic: known.ID})
	gone, err := s.catalog.CreateTopic(t.Context(), meta.Topic{Name: "gone", Queues: 1, Type: meta.TypeNormal, Ack: meta.AckDurable})
	if err != nil {
		t.Fatal(err)
	}
	store(t, s, "gone", message.Queue{Topic: gone.ID})
	if _, err := s.catalog.DeleteTopic(t.Context(), "gone"); err != nil { // the shard does not know yet
		t.Fatal(err)
	}
	lost, err := meta.AllocateTopicID(t.Context(), s.meta)
	if err != nil {
		t.Fatal(err)
	}
	store(t, s, "lost", message.Queue{Topic: lost, ID: 2})
	if reason := s.findLostTopics(t.Context()); reason != "" {
		t.Error(reason)
	}
	for _, want := range []meta.Topic{
		{Name: "known", ID: known.ID, Queues: 4},
		{Name: "lost", ID: lost, Queues: 3},
	} {
		got, _, err := meta.GetRecord[meta.Topic](t.Context(), s.meta, meta.BucketTopics, want.Name)
		if err != nil || !got.Live() || got.ID != want.ID || got.Queues != want.Queues {
			t.Errorf("%s: %+v, %v", want.Name, got, err)
		}
	}
	if _, err := s.catalog.TopicByName(t.Context(), "gone"); err == nil {
		t.Error("a deleted topic came back")
	}
}

// TestLostTopicOfATakenName: a topic whose name means another one now, or nothing any more, cannot come back.
// Readiness says what is lost.
func TestLostTopicOfATakenName(t *testing.T) {
	s := openServer(t)
	for _, name := range []string{"taken", "deleted"} {
		if _, err := s.catalog.CreateTopic(t.Context(), meta.Topic{Name: name, Queues: 1, Type: meta.TypeNormal, Ack: meta.AckDurable}); err != nil {
			t.Fatal(err)
		}
		id, err := meta.AllocateTopicID(t.Context(), s.meta)
		if err != nil {
			t.Fatal(err)
		}
		store(t, s, name, message.Queue{Topic: id})
	}
	if _, err := s.catalog.DeleteTopic(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	store(t, s, "never", message.Queue{Topic: 1 << 40}) // an id that this cluster has not given out
	reason := s.findLostTopics(t.Context())
	for _, want := range []string{`"taken"`, `"deleted"`, `"never"`, "put meta/ back"} {
		if !strings.Contains(reason, want) {
			t.Errorf("reason without %s: %s", want, reason)
		}
	}
	if _, err := s.restoreTopic(t.Context(), shard.HeldTopic{ID: 1 << 41, Queues: 1}); err == nil {
		t.Error("a topic without a message was restored")
	}
}
