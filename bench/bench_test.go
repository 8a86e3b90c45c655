package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

func TestSendRequestIsPatchedInPlace(t *testing.T) {
	r, err := newSendRequest("orders", 3, plainBody)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 2 {
		r.renew()
		stamp(r.bodies[1], time.Unix(7, 9))
		var got pb.SendMessageRequest
		if err := proto.Unmarshal(r.data, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.GetMessages()) != 3 {
			t.Fatalf("%d messages, want 3", len(got.GetMessages()))
		}
		for _, m := range got.GetMessages() {
			id := m.GetSystemProperties().GetMessageId()
			if len(id) != idLen || seen[id] {
				t.Errorf("message id %q: want %d digits, each id once", id, idLen)
			}
			seen[id] = true
			if len(m.GetBody()) != bodySize {
				t.Errorf("body of %d bytes", len(m.GetBody()))
			}
		}
		if at := stamped(got.GetMessages()[1].GetBody()); !at.Equal(time.Unix(7, 9)) {
			t.Errorf("stamp %v", at)
		}
	}
}

func TestScanMessageAndAck(t *testing.T) {
	handle := "handle"
	data, err := proto.Marshal(&pb.Message{
		Topic:            &pb.Resource{Name: "orders"},
		SystemProperties: &pb.SystemProperties{MessageId: "id", ReceiptHandle: &handle, QueueId: 3},
		Body:             []byte("body"),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := scanMessage(data)
	if err != nil || string(m.id) != "id" || string(m.handle) != handle || string(m.body) != "body" {
		t.Fatalf("scanned %q, %v", m, err)
	}
	prefix, err := proto.Marshal(&pb.AckMessageRequest{Group: &pb.Resource{Name: "g"}, Topic: &pb.Resource{Name: "orders"}})
	if err != nil {
		t.Fatal(err)
	}
	ack := newAckRequest(prefix)
	ack.reset()
	ack.add(m)
	ack.add(m)
	var got pb.AckMessageRequest
	if err := proto.Unmarshal(ack.data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.GetEntries()) != 2 || got.GetEntries()[1].GetReceiptHandle() != handle || got.GetGroup().GetName() != "g" {
		t.Errorf("ack is %v", &got)
	}
	if _, err := scanMessage(data[:len(data)-1]); !errors.Is(err, errWire) {
		t.Errorf("a message that was cut short: %v", err)
	}
}

func TestCheckAnswer(t *testing.T) {
	encode := func(code pb.Code) []byte {
		data, err := proto.Marshal(&pb.SendMessageResponse{Status: &pb.Status{Code: code, Message: "said"}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if err := checkAnswer(encode(pb.Code_OK)); err != nil {
		t.Error(err)
	}
	status, ok := errors.AsType[*statusError](checkAnswer(encode(pb.Code_TOPIC_NOT_FOUND)))
	if !ok || status.code != pb.Code_TOPIC_NOT_FOUND || status.text != "said" {
		t.Errorf("status %v", status)
	}
	if err := checkAnswer(nil); !errors.Is(err, errWire) {
		t.Errorf("an answer without status: %v", err)
	}
}

func TestParseCPUTime(t *testing.T) {
	stat := "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 130 20 0 0 20 0 9 0 123 456 789"
	if got, err := parseCPUTime([]byte(stat)); err != nil || got != 1500*time.Millisecond {
		t.Errorf("CPU time %v, %v, want 1.5s", got, err)
	}
	for _, bad := range []string{"", "42 (a) S 1 2", "42 (a) S 1 42 42 0 -1 4194560 100 0 0 0 x 20 0"} {
		if _, err := parseCPUTime([]byte(bad)); err == nil {
			t.Errorf("%q has a CPU time", bad)
		}
	}
}

func TestMedianAndQuantile(t *testing.T) {
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median %v, want 2", got)
	}
	if got := median([]float64{4, 1, 2, 3}); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
	var sorted []time.Duration
	for i := range 100 {
		sorted = append(sorted, time.Duration(i))
	}
	if p50, p99, all := quantile(sorted, 0.5), quantile(sorted, 0.99), quantile(sorted, 1); p50 != 50 || p99 != 99 || all != 99 {
		t.Errorf("quantiles %d %d %d", p50, p99, all)
	}
}

// A load counts what its callers do in the window and nothing of the warm-up.
func TestLoadCountsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := load{callers: 4, newOp: func(int) (op, error) {
			return func(context.Context) (int, error) {
				time.Sleep(10 * time.Millisecond) // the call takes that long
				return 2, nil
			}, nil
		}}
		var used time.Duration
		cpu := func() (time.Duration, error) { used += 3 * time.Millisecond; return used, nil }
		w, err := calls.run(t.Context(), cpu, time.Second, 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		// At the two edges a call counts or does not.
		if w.messages < 1592 || w.messages > 1608 || w.elapsed != 2*time.Second || w.cpu != 3*time.Millisecond {
			t.Errorf("window %+v", w)
		}
	})
}

func TestLoadFailsWithItsCaller(t *testing.T) {
	failure := errors.New("broken")
	l := load{callers: 2, newOp: func(caller int) (op, error) {
		return func(ctx context.Context) (int, error) {
			if caller == 1 {
				return 0, failure
			}
			<-ctx.Done()
			return 0, context.Cause(ctx)
		}, nil
	}}
	if _, err := l.run(t.Context(), func() (time.Duration, error) { return 0, nil }, time.Minute, time.Minute); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
}

// The echo is measured through the same code as everything else, as a process of its own.
func TestEchoOverTheRawCodec(t *testing.T) {
	addr, err := freeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serveEcho(ctx, addr) }()
	c, err := dial(addr, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	e := &echoServer{client: c}
	for caller := range 4 {
		call, err := e.load(4).newOp(caller)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := eventually(t, call); n != 1 || err != nil {
			t.Errorf("caller %d: %d, %v", caller, n, err)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// eventually repeats a call until the server listens.
func eventually(t *testing.T, call op) (n int, err error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		if n, err = call(t.Context()); err == nil {
			return n, nil
		}
	}
	return n, err
}

func TestIncompleteRow(t *testing.T) {
	full := &Row{}
	full.atLeast("rate / echo", 1, 0.6, "x")
	missed := &Row{}
	missed.atMost("rate / echo", 1, 0.6, "x")
	none := &Row{}
	none.atLeast("rate / echo", math.Inf(1), 0.6, "x")
	if full.incomplete() != "" || missed.incomplete() != "" || missed.Checks[0].Verdict != verdictMissed {
		t.Error("a row with a number is incomplete")
	}
	for _, row := range []*Row{{}, none, {Failure: "broken", Checks: full.Checks}} {
		if row.incomplete() == "" {
			t.Errorf("row %+v is complete", row)
		}
	}
}

// Every word that the Chinese table can show is translated, and both tables have the same shape.
func TestTables(t *testing.T) {
	report := &Report{Machine: Machine{CPUs: 2}}
	for _, spec := range rows {
		if _, ok := chineseWords[spec.path]; !ok {
			t.Errorf("no Chinese for %q", spec.path)
		}
		row := &Row{ID: spec.id, Path: spec.path, Echo: &Echo{PerSecond: 61000, ServerCPU: 14.5}}
		row.atLeast("rate / echo", 0.612, 0.6, "x")
		row.atMost("idle CPU, of one core", 12.25, 1, "%")
		report.Rows = append(report.Rows, row)
	}
	report.Rows = append(report.Rows, &Row{Path: rows[0].path, Failure: "broken"})
	for _, l := range []*language{english, chinese} {
		table := report.table(l)
		if got, want := strings.Count(table, "\n|"), 2+2*len(rows)+1; got != want {
			t.Errorf("%s: %d lines of table, want %d", l.file, got, want)
		}
		for _, part := range []string{"≥ 0.6 × | 0.612 ×", "≤ 1 % | 12.2 %", "61,000", l.failed, l.word(verdictMissed)} {
			if !strings.Contains(table, part) {
				t.Errorf("%s: no %q in the table", l.file, part)
			}
		}
	}
}

func TestChecksAreTranslated(t *testing.T) {
	files, err := filepath.Glob("row_*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			_, call, ok := strings.Cut(line, "row.at")
			if !ok {
				continue
			}
			word := strings.Split(call, `"`)[1]
			found++
			if _, ok := chineseWords[word]; !ok {
				t.Errorf("%s: no Chinese for %q", name, word)
			}
		}
	}
	if found < len(rows) {
		t.Errorf("%d checks found for %d rows", found, len(rows))
	}
}

func TestBetween(t *testing.T) {
	got, err := between("a\n"+markBegin+", written by make bench -->\nold\n"+markEnd+"\nb\n", "new")
	if want := "a\n" + markBegin + ", written by make bench -->\nnew\n" + markEnd + "\nb\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := between("a\nb\n", "new"); err == nil {
		t.Error("marks that are missing were found")
	}
}

func TestReportRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "out.json")
	want := &Report{Started: time.Unix(1, 0).UTC(), Rows: []*Row{{ID: "send", Checks: []Check{{Name: "n", Verdict: verdictMet}}}}}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := readReports([]string{path, path})
	if err != nil || len(got.Rows) != 2 || got.Rows[1].Checks[0].Verdict != verdictMet {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestSettings(t *testing.T) {
	for _, args := range [][]string{{"--rows", "nothing"}, {"--rounds", "0"}, {"what"}, {"--unknown"}} {
		if _, err := parseSettings(args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	s, err := parseSettings([]string{"--quick", "--rows", "send,e2e"}, io.Discard)
	if err != nil || s.rounds != 1 || len(s.rows) != 2 {
		t.Errorf("settings %+v, %v", s, err)
	}
	var usage bytes.Buffer
	if _, err := parseSettings([]string{"--help"}, &usage); err == nil || !strings.Contains(usage.String(), "-quick") {
		t.Errorf("help is %q, %v", usage.String(), err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var log tail
	for range 3 {
		if _, err := log.Write(bytes.Repeat([]byte("x"), maxTail)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); len(got) != maxTail || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
}

func TestPutsAreCounted(t *testing.T) {
	const rest = " 200 - 0 0 0 0 - client - host SigV4 - AuthHeader s3 - arn Yes"
	for line, want := range map[string]bool{
		"owner zstd-8 [24/November/2026:17:19:55 +0000] 127.0.0.1 user REQ s3_PutObject c/0/x /zstd-8/c/0/x" + rest:   true,
		"owner zstd-8 [24/November/2026:17:19:55 +0000] 127.0.0.1 user REQ s3_UploadPart c/0/x /zstd-8/c/0/x" + rest:  true,
		"owner zstd-80 [24/November/2026:17:19:55 +0000] 127.0.0.1 user REQ s3_PutObject c/0/x /zstd-80/c/0/x" + rest: false,
		"owner zstd-8 [24/November/2026:17:19:55 +0000] 127.0.0.1 user REQ s3_GetObject c/0/x /zstd-8/c/0/x" + rest:   false,
		"log starts 2026-11-24 17:19:54.320092871 +0000 UTC m=+0.217319468":                                           false,
	} {
		if got := isPut(line, "zstd-8"); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestFindMetric(t *testing.T) {
	text := "# HELP strata_seals_total Seals.\nstrata_seals_total_more 3\nstrata_seals_total 2\n"
	if n, err := findMetric(strings.NewReader(text), "strata_seals_total"); n != 2 || err != nil {
		t.Errorf("metric is %v, %v", n, err)
	}
	if _, err := findMetric(strings.NewReader(text), "strata_seals"); err == nil {
		t.Error("a metric that is not there was found")
	}
}
