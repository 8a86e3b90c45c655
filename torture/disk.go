package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/torture/broker"
	"github.com/stratamq/stratamq/torture/ledger"
	"github.com/stratamq/stratamq/torture/load"
)

// goldenDir holds what a user sees of each broken disk.
const goldenDir = "torture/testdata/disk"

// trial is one broken disk: what is done to it, what a user sees, and whether anything acknowledged is lost or
// anything wrong is served, which the ledger says.
type trial struct {
	*options
	name   string
	binary string
	dir    string
	data   string

	broker *broker.Broker
	client *load.Client
	ledger *ledger.Ledger
	acked  map[uint64]int64 // id → offset
	seen   strings.Builder
}

// disk goes through all trials and compares what a user sees with the golden files.
func disk(ctx context.Context, o *options) error {
	binary, err := o.build(ctx)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errNeedsRoot
	}
	var errs []error
	for _, c := range trials {
		began := time.Now()
		t := &trial{
			options: o, name: c.name, binary: binary, dir: filepath.Join(o.dir, c.name),
			ledger: ledger.New(o.seed), acked: make(map[uint64]int64),
		}
		t.data = filepath.Join(t.dir, "data")
		if err := os.MkdirAll(t.dir, 0o755); err != nil {
			return err
		}
		t.say("# %s", c.what)
		err := c.run(ctx, t)
		t.end()
		if err == nil {
			err = t.verdict()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
			o.printf("disk: %-18s FAILED in %.1f s\n%s\n", c.name, time.Since(began).Seconds(), t.seen.String())
			continue
		}
		o.printf("disk: %-18s as expected in %.1f s, %d messages acknowledged, none lost\n", c.name, time.Since(began).Seconds(), len(t.acked))
	}
	return errors.Join(errs...)
}

// verdict compares what was seen with the golden file, and asks the ledger.
func (t *trial) verdict() error {
	if n, found := t.ledger.Violations(); n > 0 {
		return fmt.Errorf("%d promises broken: %v", n, found)
	}
	path := filepath.Join(goldenDir, t.name+".txt")
	got := t.seen.String()
	if t.rewrite {
		return os.WriteFile(path, []byte(got), 0o644)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("a user sees something else than %s says (see -rewrite):\n%s", path, string(want))
	}
	return nil
}

// variable are the parts of a text that differ from run to run; a number of three digits or more is an offset,
// a position or a size.
var variable = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`log is fenced: .*: (input/output error|read-only file system)`), "log is fenced: …: input/output error"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{32,64}\b`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-z]{26}/`), "CLUSTER/"},
	{regexp.MustCompile(`CRC32C [0-9a-f]+, not [0-9a-f]+`), "CRC32C HEX, not HEX"},
	{regexp.MustCompile(`checksum [0-9a-f]+, stored [0-9a-f]+`), "checksum HEX, stored HEX"},
	{regexp.MustCompile(`\d{3,}`), "N"},
}

// codes are numbers that mean something, and stay.
var codes = regexp.MustCompile(`^(\d{5} [A-Z_]+|\d{3} )`)

// say adds a line to what a user sees.
func (t *trial) say(format string, args ...any) {
	for line := range strings.SplitSeq(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n") {
		line = strings.ReplaceAll(line, t.dir, "DIR")
		label, rest, labelled := strings.Cut(line, ": ")
		if !labelled {
			label, rest = "", line
		} else {
			label += ": "
		}
		code := codes.FindString(rest)
		rest = rest[len(code):]
		for _, v := range variable {
			rest = v.pattern.ReplaceAllString(rest, v.text)
		}
		fmt.Fprintln(&t.seen, label+code+rest)
	}
}

// start starts the broker with these flags; a refusal to start is said.
func (t *trial) start(ctx context.Context, what string, flags ...string) bool {
	b, err := broker.Start(ctx, broker.Options{Binary: t.binary, DataDir: t.data, Flags: append([]string{"--log-level=error"}, flags...)})
	if errors.Is(err, broker.ErrDied) {
		t.say("%s: exit code %d", what, b.ExitCode())
		t.sayOutput(b)
		return false
	}
	if err != nil {
		t.ledger.Report("F4", "%s: %v", what, err)
		return false
	}
	t.broker = b
	if t.client, err = load.Dial(b.GRPC, "disk"); err != nil {
		t.ledger.Report("F4", "%s: %v", what, err)
		return false
	}
	return true
}

// sayOutput says the last line that a process printed, which is its error.
func (t *trial) sayOutput(b *broker.Broker) {
	for line := range strings.SplitSeq(b.Output(), "\n") {
		if strings.HasPrefix(line, "strata: ") {
			t.say("stderr: %s", line)
		}
	}
}

// outcome is what a send's error means. Which of the ways to hear nothing good it is depends on the moment.
func outcome(err error) string {
	switch code := load.CodeOf(err); code {
	case pb.Code_OK:
		return "ok"
	case 0, pb.Code_HA_NOT_AVAILABLE, pb.Code_MASTER_PERSISTENCE_TIMEOUT, pb.Code_PROXY_TIMEOUT, pb.Code_INTERNAL_SERVER_ERROR:
		return "outcome unknown"
	default:
		return err.Error()
	}
}

// end ends the broker if it lives.
func (t *trial) end() {
	if t.client != nil {
		_ = t.client.Close() // nothing is under way
		t.client = nil
	}
	if t.broker != nil {
		t.broker.Kill()
		t.broker = nil
	}
}

const (
	diskTopic = "disk"
	diskGroup = "disk-group"
)

// send sends messages one after the other until one is not acknowledged or n were, and returns that error.
func (t *trial) send(ctx context.Context, n, size int) error {
	for range n {
		id := t.ledger.Begin(diskTopic)
		body := t.ledger.Body(id)
		body = append(body, bytes.Repeat([]byte{'x'}, max(size-len(body), 0))...)
		offsets, err := t.client.Send(ctx, []*pb.Message{load.NewMessage(diskTopic, t.ledger.Name(id), ledger.Tag(id), body)})
		if err != nil {
			return err
		}
		t.acked[id] = offsets[0]
	}
	return nil
}

// sendUntilError sends until something goes wrong, but not for ever.
func (t *trial) sendUntilError(ctx context.Context, size int) error {
	if err := t.send(ctx, 20_000, size); err != nil {
		return err
	}
	return errors.New("20000 sends, and nothing went wrong")
}

// readBack reads the topic from its beginning and checks that nothing acknowledged is missing and nothing is
// wrong; it returns the error that ended the reading, if one did.
func (t *trial) readBack(ctx context.Context) error {
	end, err := t.client.End(ctx, diskTopic, 0)
	if err != nil {
		return err
	}
	found := make(map[uint64]int64)
	for next := int64(0); next < end; {
		messages, to, err := t.client.Pull(ctx, diskGroup, diskTopic, 0, next, 0)
		for _, m := range messages {
			id, ok := ledger.IDOf(m.GetBody())
			offset := m.GetSystemProperties().GetQueueOffset()
			if want := t.ledger.Body(id); !ok || !bytes.HasPrefix(m.GetBody(), want) ||
				len(bytes.TrimRight(m.GetBody()[len(want):], "x")) > 0 {
				t.ledger.Report("I19", "offset %d holds wrong bytes", offset)
			}
			found[id] = offset
		}
		if err != nil {
			return err
		}
		if to <= next {
			return fmt.Errorf("nothing at offset %d of %d", next, end)
		}
		next = to
	}
	for id, offset := range t.acked {
		if at, ok := found[id]; !ok || at != offset {
			t.ledger.Report("I1", "message %d was acknowledged at offset %d; found %v at %d", id, offset, ok, at)
		}
	}
	return nil
}

// ready says what /readyz says.
func (t *trial) ready(ctx context.Context) {
	code, body, err := t.broker.Get(ctx, "/readyz")
	if err != nil {
		t.say("/readyz: no answer")
		return
	}
	t.say("/readyz: %d %s", code, http.StatusText(code))
	t.say("%s", body)
}

// alive says whether the process lives; one that SIGBUS ended is a broken promise.
func (t *trial) alive() bool {
	select {
	case <-t.broker.Done():
		t.say("process: exit code %d", t.broker.ExitCode())
		if t.broker.ExitCode() < 0 || strings.Contains(t.broker.Output(), "SIGBUS") || strings.Contains(t.broker.Output(), "panic:") {
			t.ledger.Report("F7", "the process crashed: %s", t.broker.Output())
		}
		t.sayOutput(t.broker)
		return false
	case <-time.After(500 * time.Millisecond):
		t.say("process: alive")
		return true
	}
}
