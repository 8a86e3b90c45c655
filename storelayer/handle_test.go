package storelayer_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// handleGolden is a handle as clients of version 1 hold it; it must parse for ever.
const handleGolden = "AQIApgAAAAAAAAADAAAAKgAAAAAAAAABAAAABwAAAAkAAAAAAAAAAgB7aOXPiwEAAAVvcmRlciu0d_8"

func sampleHandle() storelayer.Handle {
	return storelayer.Handle{
		Shard: 2, Queue: message.Queue{Topic: 0xa6, ID: 3}, Offset: 42, Group: "order", Generation: 1,
		Epoch: 7, Lease: 9, Attempt: 2, Deadline: 1_700_000_000_123,
	}
}

func TestHandleGolden(t *testing.T) {
	if got := sampleHandle().String(); got != handleGolden {
		t.Errorf("String() = %q, want %q", got, handleGolden)
	}
	got, err := storelayer.ParseHandle(handleGolden)
	if err != nil || got != sampleHandle() {
		t.Errorf("ParseHandle = %+v, %v", got, err)
	}
}

func TestHandleRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := storelayer.Handle{
			Shard: message.ShardID(rapid.Uint16().Draw(t, "shard")),
			Queue: message.Queue{
				Topic: message.TopicID(rapid.Uint64().Draw(t, "topic")),
				ID:    message.QueueID(rapid.Uint32().Draw(t, "queue")),
			},
			Offset:     message.Offset(rapid.Int64().Draw(t, "offset")),
			Group:      strings.Repeat("g", rapid.IntRange(0, 255).Draw(t, "group")),
			Generation: rapid.Uint32().Draw(t, "generation"),
			Epoch:      message.Epoch(rapid.Uint32().Draw(t, "epoch")),
			Lease:      rapid.Uint64().Draw(t, "lease"),
			Attempt:    rapid.Uint16().Draw(t, "attempt"),
			Deadline:   rapid.Int64().Draw(t, "deadline"),
		}
		text := want.String()
		if len(text) >= 1024 {
			t.Fatalf("%d characters: clients are promised less than 1 KiB", len(text))
		}
		got, err := storelayer.ParseHandle(text)
		if err != nil || got != want {
			t.Fatalf("ParseHandle(%q) = %+v, %v; want %+v", text, got, err, want)
		}
	})
}

func TestParseHandleRefuses(t *testing.T) {
	for _, text := range []string{"", "x", "%%%", strings.Repeat("A", 100_000), handleGolden[1:], handleGolden[:len(handleGolden)-2], "B" + handleGolden[1:]} {
		if _, err := storelayer.ParseHandle(text); !errors.Is(err, storelayer.ErrInvalidHandle) {
			t.Errorf("ParseHandle(%.20q) = %v, want ErrInvalidHandle", text, err)
		}
	}
	for i := range len(handleGolden) {
		flipped := []byte(handleGolden)
		flipped[i] ^= 1
		if got, err := storelayer.ParseHandle(string(flipped)); err == nil {
			t.Errorf("a handle with character %d changed parses as %+v", i, got)
		}
	}
}

func FuzzParseHandle(f *testing.F) {
	f.Add(handleGolden)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := storelayer.ParseHandle(text)
		if err == nil && h.String() != text {
			t.Errorf("%q parses as %+v, which prints as %q", text, h, h.String())
		}
	})
}
