package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/torture/load"
)

// small keeps segments small and their local copies short-lived.
var small = []string{"--segment-size=1MiB", "--disk-mark=0B", "--local-retention=100ms"}

// whole keeps everything in one local segment.
var whole = []string{"--segment-size=16MiB", "--disk-mark=0B"}

// deviceFails is how long a file system may take to find out that its device does not write.
const deviceFails = 30 * time.Second

// trials are the broken disks.
var trials = []struct {
	name, what string
	run        func(ctx context.Context, t *trial) error
}{
	{"mark", "F6: the disk has less free space than the mark", trialMark},
	{"full", "F6: a file system of 64 MiB fills up, without a mark", trialFull},
	{"sync", "F5: the device under the file system fails (EIO)", trialSync},
	{"truncated", "F7: the active segment is cut short under the map of the running broker", trialTruncated},
	{"log-bit", "F4: a bit of the log flips while the broker is down", trialLogBit},
	{"log-cut", "F4: the log is cut short while the broker is down", trialLogCut},
	{"object-bit", "F4: a bit of each sealed object flips", trialObjectBit},
	{"meta-bit", "F4: a bit of the metadata flips while the broker is down", trialMetaBit},
}

// serve starts a broker with a topic of one queue.
func (t *trial) serve(ctx context.Context, flags ...string) error {
	if !t.start(ctx, "start", flags...) {
		return errors.New("a broker on a whole disk does not start")
	}
	return t.broker.Admin().CreateTopic(ctx, diskTopic, 1)
}

func trialMark(ctx context.Context, t *trial) error {
	if err := t.serve(ctx, whole...); err != nil {
		return err
	}
	if err := t.send(ctx, 3, 0); err != nil {
		return err
	}
	t.end()
	if !t.start(ctx, "start", "--segment-size=16MiB", "--disk-mark=1000TiB") {
		return nil
	}
	t.say("send: %v", t.send(ctx, 1, 0))
	t.say("read back: %v", okOr(t.readBack(ctx)))
	t.ready(ctx)
	t.alive()
	return nil
}

func trialFull(ctx context.Context, t *trial) (err error) {
	m, err := newImage(ctx, filepath.Join(t.dir, "image"), filepath.Join(t.dir, "mount"), 64<<20)
	if err != nil {
		return err
	}
	defer func() { t.end(); err = errors.Join(err, m.close(ctx)) }()
	t.data = filepath.Join(m.mount, "data")
	if err := t.serve(ctx, "--segment-size=4MiB", "--disk-mark=0B", "--local-retention=none"); err != nil {
		return err
	}
	t.say("send: %s", outcome(t.sendUntilError(ctx, 100<<10)))
	t.say("read back: %v", okOr(t.readBack(ctx)))
	t.ready(ctx)
	if t.alive() {
		t.broker.Stop()
		t.say("stop: exit code %d", t.broker.ExitCode())
		t.sayOutput(t.broker)
	}
	t.end()
	if t.start(ctx, "start on the full disk", "--segment-size=4MiB", "--disk-mark=0B", "--local-retention=none") {
		t.say("start on the full disk: ready")
		t.say("read back: %v", okOr(t.readBack(ctx)))
	}
	return nil
}

// trialSync puts the image into a memory file system that is smaller: when that is full the device cannot write,
// and the file system's sync fails.
func trialSync(ctx context.Context, t *trial) (err error) {
	under := filepath.Join(t.dir, "under")
	if err := os.MkdirAll(under, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", under, "tmpfs", 0, "size=120m"); err != nil {
		return fmt.Errorf("%w: %w", errNeedsRoot, err)
	}
	defer func() { err = errors.Join(err, syscall.Unmount(under, 0)) }()
	m, err := newImage(ctx, filepath.Join(under, "image"), filepath.Join(t.dir, "mount"), 256<<20)
	if err != nil {
		return err
	}
	defer func() { t.end(); err = errors.Join(err, m.close(ctx)) }()
	t.data = filepath.Join(m.mount, "data")
	flags := []string{"--segment-size=64MiB", "--disk-mark=0B"}
	if err := t.serve(ctx, flags...); err != nil {
		return err
	}
	// The device may say first that it is full, which refuses sends; the file system fails soon after.
	err = t.sendUntilError(ctx, 100<<10)
	for end := time.Now().Add(deviceFails); load.CodeOf(err) == pb.Code_TOO_MANY_REQUESTS && time.Now().Before(end); {
		err = t.send(ctx, 1, 0)
	}
	t.say("send: %s", outcome(err))
	if t.alive() {
		t.ready(ctx)
		t.broker.Stop()
		t.say("stop: exit code %d", t.broker.ExitCode())
		t.sayOutput(t.broker)
	}
	t.end()
	// The device is repaired: what was acknowledged is there.
	if err := m.unmount(ctx); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", under, "tmpfs", syscall.MS_REMOUNT, "size=600m"); err != nil {
		return err
	}
	if err := m.attach(ctx); err != nil {
		return err
	}
	if t.start(ctx, "start on the repaired disk", flags...) {
		t.say("start on the repaired disk: ready")
		t.say("read back: %v", okOr(t.readBack(ctx)))
		t.say("send: %v", okOr(t.send(ctx, 1, 0)))
	}
	return nil
}

func trialTruncated(ctx context.Context, t *trial) error {
	if err := t.serve(ctx, whole...); err != nil {
		return err
	}
	if err := t.send(ctx, 200, 4000); err != nil {
		return err
	}
	segments, err := t.segments()
	if err != nil {
		return err
	}
	if err := os.Truncate(segments[len(segments)-1], 40<<10); err != nil {
		return err
	}
	t.say("read back: %v", t.readBack(ctx))
	if err := t.send(ctx, 1, 0); err == nil {
		t.ledger.Report("F7", "a send was acknowledged behind bytes that are gone")
	}
	t.say("send: not acknowledged")
	t.acked = nil // the bytes are gone: what is asked is that nobody is told otherwise
	if t.alive() {
		t.ready(ctx)
	}
	t.end()
	t.start(ctx, "start", whole...)
	return nil
}

func trialLogBit(ctx context.Context, t *trial) error {
	return t.damageLog(ctx, func(path string) error { return flipBit(path, 120<<10+100) })
}

func trialLogCut(ctx context.Context, t *trial) error {
	return t.damageLog(ctx, func(path string) error { return os.Truncate(path, 120<<10) })
}

// damageLog sends, stops the broker hard, damages its log, and says what a start sees.
func (t *trial) damageLog(ctx context.Context, damage func(path string) error) error {
	if err := t.serve(ctx, whole...); err != nil {
		return err
	}
	if err := t.send(ctx, 200, 4000); err != nil {
		return err
	}
	t.end()
	segments, err := t.segments()
	if err != nil {
		return err
	}
	if err := damage(segments[0]); err != nil {
		return err
	}
	if t.start(ctx, "start", whole...) {
		t.ledger.Report("I10", "a broker with a damaged log starts")
	}
	return nil
}

func trialObjectBit(ctx context.Context, t *trial) error {
	if err := t.serve(ctx, small...); err != nil {
		return err
	}
	if err := t.send(ctx, 600, 10_000); err != nil {
		return err
	}
	if err := t.waitTrimmed(ctx, 3); err != nil {
		return err
	}
	t.say("read back: %v", okOr(t.readBack(ctx)))
	t.end()
	objects, err := t.objects()
	if err != nil {
		return err
	}
	for _, path := range objects {
		if err := flipBit(path, 5000); err != nil {
			return err
		}
	}
	if !t.start(ctx, "start", small...) {
		return nil
	}
	err = t.readBack(ctx)
	t.say("read back: %v", err)
	if err == nil {
		t.ledger.Report("I19", "damaged objects read well")
	}
	t.say("send: %v", okOr(t.send(ctx, 1, 0)))
	t.ready(ctx)
	t.alive()
	out, err := command(ctx, t.binary, "segment", "verify", "--object-store", "file://"+filepath.Join(t.data, "objects"))
	lines := strings.Split(out, "\n")
	t.say("strata segment verify: exit code %d, last line: %s", exitCodeOf(err), lines[len(lines)-1])
	return nil
}

func trialMetaBit(ctx context.Context, t *trial) error {
	if err := t.serve(ctx, whole...); err != nil {
		return err
	}
	if err := t.send(ctx, 20, 0); err != nil {
		return err
	}
	t.end()
	files, err := filepath.Glob(filepath.Join(t.data, "meta", "jetstream", "*", "streams", "KV_topics", "msgs", "1.blk"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("files of the topics: %v, %w", files, err)
	}
	info, err := os.Stat(files[0])
	if err != nil {
		return err
	}
	if err := flipBit(files[0], info.Size()/2); err != nil {
		return err
	}
	if !t.start(ctx, "start", whole...) {
		return nil
	}
	t.say("start: ready")
	t.say("send: %v", okOr(t.send(ctx, 1, 0)))
	t.say("read back: %v", okOr(t.readBack(ctx)))
	t.ready(ctx)
	return nil
}

// waitTrimmed waits until so many segments are in the object store only.
func (t *trial) waitTrimmed(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		_, trimmed, err := t.broker.Admin().Segments(ctx)
		if err != nil || trimmed >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d segments trimmed, want %d: %w", trimmed, n, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// segments returns the files of the log, oldest first.
func (t *trial) segments() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(t.data, "shards", "*", "log", "*.log"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("log files: %v, %w", files, err)
	}
	slices.Sort(files)
	return files, nil
}

// objects returns the files of sealed objects that hold messages.
func (t *trial) objects() ([]string, error) {
	var objects []string
	err := filepath.Walk(filepath.Join(t.data, "objects"), func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && strings.HasPrefix(filepath.Base(path), "ever-") {
			objects = append(objects, path)
		}
		return err
	})
	if err == nil && len(objects) == 0 {
		err = errors.New("no sealed objects")
	}
	return objects, err
}

// flipBit flips the lowest bit of one byte.
func flipBit(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, at); err != nil {
		return errors.Join(err, f.Close())
	}
	one[0] ^= 1
	_, err = f.WriteAt(one, at)
	return errors.Join(err, f.Close())
}

// okOr is the error's text, or "ok".
func okOr(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}
