package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// The whole life of a message in seconds: sent, sealed, trimmed, and then received, tailed, found by key and by
// time from the object store, by one who has never seen it, and over a restart.
func TestTiers(t *testing.T) {
	dir := dataDir(t)
	flags := []string{"--segment-size", "4MiB", "--local-retention", "1s"}
	b := start(t, dir, flags...)
	b.strata("topic", "create", testTopic, "--queues", "2")
	client := b.dial()
	const messages = 64
	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	for i := range messages {
		s, err := send(t.Context(), client, fmt.Sprintf("id-%02d", i), append(fmt.Appendf(nil, "%02d ", i), body...))
		if err != nil || s.GetCode() != pb.Code_OK {
			t.Fatalf("send %d: %v, %v", i, s, err)
		}
	}
	b.waitFor("three segments to be trimmed", func() bool {
		return strings.Count(b.strata("segment", "list"), "trimmed") >= 3
	})
	check := func() {
		t.Helper()
		if got := b.strata("message", "query", testTopic, "--id", "id-01", "--no-body"); !strings.Contains(got, "from the object store") {
			t.Errorf("query by id: %s", got)
		}
		all := b.strata("message", "query", testTopic, "--from", "1h", "--limit", "1000", "--no-body")
		if n := strings.Count(all, "id-"); n != messages {
			t.Errorf("query by time found %d of %d:\n%s", n, messages, all)
		}
		tail := b.strata("message", "tail", testTopic, "--from", "first", "--limit", fmt.Sprint(messages), "--no-body")
		for i := range messages {
			if !strings.Contains(tail, fmt.Sprintf("id-%02d", i)) {
				t.Errorf("tail misses message %d:\n%s", i, tail)
			}
		}
	}
	check()
	if exit, _ := b.stop(); exit != 0 {
		t.Fatalf("exit code %d", exit)
	}
	b = start(t, dir, flags...)
	check()

	client = b.dial()
	b.strata("group", "create", "late")
	b.strata("group", "reset-offset", "late", "--topic", testTopic, "--to", "first")
	seen := make(map[string]int)
	for deadline := time.Now().Add(startLimit); len(seen) < messages && time.Now().Before(deadline); {
		s, got, err := receive(t.Context(), client, "late", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if c := s.GetCode(); c != pb.Code_OK && c != pb.Code_MESSAGE_NOT_FOUND {
			t.Fatalf("receive: %v", s)
		}
		for _, m := range got {
			id := m.GetSystemProperties().GetMessageId()
			seen[id]++
			if want := append([]byte(strings.TrimPrefix(id, "id-")+" "), body...); !bytes.Equal(m.GetBody(), want) {
				t.Errorf("message %s has another body", id)
			}
		}
	}
	for i := range messages {
		if n := seen[fmt.Sprintf("id-%02d", i)]; n != 1 {
			t.Errorf("message %d was delivered %d times", i, n)
		}
	}
}
