package meta_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files of records anew")

func testRecord[T meta.Record](t *testing.T, name string, r T) {
	t.Helper()
	data, err := meta.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	file := "testdata/" + name + ".json"
	if *rewrite {
		if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stored, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if stored = bytes.TrimSpace(stored); !bytes.Equal(stored, data) {
		t.Errorf("%s encodes to\n%s, file has\n%s", name, data, stored)
	}
	back, err := meta.DecodeRecord[T](stored)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := meta.EncodeRecord(back); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%s decodes and encodes to\n%s, %v", name, again, err)
	}
}

func TestRecordsGolden(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	testRecord(t, "cluster", meta.Cluster{ID: "c1", Name: "strata", Incarnation: "i1", NextTopicID: 9, Shards: []message.ShardID{1}, Created: at})
	testRecord(t, "shard", meta.Shard{ID: 1, Epoch: 3, Leader: "node-1", Incarnation: "f1", FirstPosition: 4096})
	testRecord(t, "topic", meta.Topic{
		Name: "orders", ID: 8, Queues: 2, Shards: []message.ShardID{1, 1}, Type: meta.TypeNormal, Ack: meta.AckDurable,
		RetentionAge: time.Hour, RetentionBytes: 1 << 30, Created: at, Version: 2,
	})
	testRecord(t, "tombstone", meta.Topic{
		Name: "orders", ID: 8, Queues: 1, Shards: []message.ShardID{1}, Type: meta.TypeFIFO, Ack: meta.AckLocal,
		Created: at, Version: 3, Deleted: at.Add(time.Hour), Ended: []message.TopicID{4, 8},
	})
	testRecord(t, "group", meta.DefaultGroup("billing", at))
}

func TestRecordsRefused(t *testing.T) {
	for _, data := range []string{"", "null x", "[]", `{"name":"g","from_the_future":1}`, `{"name":"g"} {}`, `{"name":5}`} {
		if _, err := meta.DecodeRecord[meta.Group]([]byte(data)); !errors.Is(err, meta.ErrDamaged) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, name := range []string{"cluster", "shard", "topic", "tombstone", "group"} {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzRecord[meta.Cluster](t, data)
		fuzzRecord[meta.Shard](t, data)
		fuzzRecord[meta.Topic](t, data)
		fuzzRecord[meta.Group](t, data)
	})
}

func fuzzRecord[T meta.Record](t *testing.T, data []byte) {
	t.Helper()
	r, err := meta.DecodeRecord[T](data)
	if err != nil {
		if !errors.Is(err, meta.ErrDamaged) {
			t.Fatal(err)
		}
		return
	}
	first, err := meta.EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := meta.DecodeRecord[T](first)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := meta.EncodeRecord(back); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%s and %s, %v", first, second, err)
	}
}

func TestGroupDelay(t *testing.T) {
	g := meta.DefaultGroup("g", time.Unix(0, 0))
	for attempt, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 5 * time.Second, 4: 30 * time.Second, 5: time.Minute, 14: 10 * time.Minute,
		17: time.Hour, 18: 2 * time.Hour, 100: 2 * time.Hour,
	} {
		if got := g.Delay(attempt); got != want {
			t.Errorf("after attempt %d: %s, want %s", attempt, got, want)
		}
	}
	if got := (meta.Group{}).Delay(1); got != 0 {
		t.Errorf("without delays: %s", got)
	}
}
