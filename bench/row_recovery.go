package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// rowRecovery kills a broker whose log holds 1 GiB that was never sealed, starts it again and waits for the answer to
// a send: first with the log in the page cache, as after kill -9, then without, as after a power cut.
func (b *bench) rowRecovery(ctx context.Context, row *Row) error {
	s, err := b.startBroker(ctx, row.ID, nil, hotFlags...)
	if err != nil {
		return err
	}
	defer func() { s.remove() }()
	if err := b.fillLog(ctx, s); err != nil {
		return err
	}
	var took [2]float64 // warm, cold
	for i, prepare := range []func(string) error{func(string) error { return nil }, dropCache} {
		s.kill()
		if err := prepare(s.dir); err != nil {
			return err
		}
		start := time.Now()
		again, err := b.launch(ctx, row.ID, nil, hotFlags...)
		if err != nil {
			return err
		}
		s = again
		if err := s.waitReady(ctx); err != nil {
			return err
		}
		if err := sendOne(ctx, s, "durable"); err != nil {
			return err
		}
		took[i] = time.Since(start).Seconds()
		b.logf("  %s: %.2f s", row.ID, took[i])
	}
	row.value("messages", float64(b.settings.bulk/bodySize), "")
	row.value("log not in the page cache", took[1], "s")
	row.atMost("from the start of the process to an acknowledged send", took[0], 2, "s")
	return nil
}

func (b *bench) fillLog(ctx context.Context, s *broker) error {
	c, err := b.createDurable(ctx, s, "durable", sendQueues)
	if err != nil {
		return err
	}
	defer c.close()
	return b.prefill(ctx, c, "durable", b.settings.bulk/bodySize, plainBody)
}

// dropCache throws the files of dir out of the page cache.
func dropCache(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // errcheck: nothing was written
		if err := unix.Fsync(int(f.Fd())); err != nil {
			return fmt.Errorf("fsync %s: %w", path, err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("fadvise %s: %w", path, err)
		}
		return nil
	})
}
