package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sealQueues is how many queues the segment has whose seal is measured.
const sealQueues = 64

// rowSeal compares the CPU of a seal with what cannot be done without: the compression, or the transfer.
func (b *bench) rowSeal(ctx context.Context, row *Row) error {
	packed, err := b.sealOne(ctx, "zstd", sealQueues)
	if err != nil {
		return err
	}
	plain, err := b.sealOne(ctx, "none", sealQueues)
	if err != nil {
		return err
	}
	store, err := b.objects(ctx)
	if err != nil {
		return err
	}
	// The object that was not compressed holds the records in the order in which the other one compressed them.
	var alone, copied []float64
	for range b.settings.rounds {
		z, err := store.work(ctx, nil, "zstd", plain.object)
		if err != nil {
			return err
		}
		c, err := store.work(ctx, nil, "copy", plain.url, plain.object)
		if err != nil {
			return err
		}
		alone, copied = append(alone, z.CPU), append(copied, c.CPU)
	}
	row.value("seal with zstd, CPU", packed.cpu, "s")
	row.value("zstd alone, CPU", median(alone), "s")
	row.value("seal without compression, CPU", plain.cpu, "s")
	row.value("upload and download of the file, CPU", median(copied), "s")
	row.value("seal with zstd, time", packed.seconds, "s")
	row.value("seal without compression, time", plain.seconds, "s")
	row.value("records", packed.records/(1<<20), "MiB")
	row.atMost("CPU with zstd / zstd alone", packed.cpu/median(alone), 1.5, "x")
	row.atMost("CPU without compression / upload + download of the file", plain.cpu/median(copied), 2, "x")
	row.atMost("PUTs", float64(max(packed.puts, plain.puts)), 70, "")
	return nil
}

// rowMetadata counts what a seal writes into the metadata store.
func (b *bench) rowMetadata(ctx context.Context, row *Row) error {
	few, err := b.sealOne(ctx, "zstd", 8)
	if err != nil {
		return err
	}
	many, err := b.sealOne(ctx, "zstd", 1000)
	if err != nil {
		return err
	}
	row.value("written at 8 queues", few.metaBytes, "bytes")
	row.value("written at 1,000 queues", many.metaBytes, "bytes")
	row.value("growth of the store's folder at 8 queues", few.metaGrowth, "bytes")
	row.value("growth of the store's folder at 1,000 queues", many.metaGrowth, "bytes")
	row.atMost("metadata / records at 8 queues", 100*few.metaBytes/few.records, 0.02, "%")
	row.atMost("metadata / records at 1,000 queues", 100*many.metaBytes/many.records, 0.02, "%")
	return nil
}

// rowCold compares a reader of history with ranges of the same bytes, each on one core, the S3 server on the other.
func (b *bench) rowCold(ctx context.Context, row *Row) error {
	store, err := b.objects(ctx)
	if err != nil {
		return err
	}
	restore, err := bindProcess(store.server.Pid(), 1)
	if err != nil {
		return err
	}
	defer restore()
	plain, err := b.coldRatio(ctx, row, store, "none")
	if err != nil {
		return err
	}
	packed, err := b.coldRatio(ctx, row, store, "zstd")
	if err != nil {
		return err
	}
	row.atLeast("codec none: history / range GETs", plain, 60, "%")
	row.atLeast("zstd: history / range GETs + zstd alone", packed, 60, "%")
	return nil
}

// coldRatio reads a queue by both ways in turns and returns the median ratio of their rates, in percent.
func (b *bench) coldRatio(ctx context.Context, row *Row, store *objectStore, codec string) (float64, error) {
	s, err := b.sealOne(ctx, codec, 8)
	if err != nil {
		return 0, err
	}
	what, err := json.Marshal(map[string]any{"cluster": s.cluster, "shard": s.shard, "key": s.key, "queue": 0})
	if err != nil {
		return 0, err
	}
	var ratios, read, raw, cpu []float64
	for round := range b.settings.rounds {
		env, err := b.profileWork(fmt.Sprintf("%s-%s-%d", row.ID, codec, round))
		if err != nil {
			return 0, err
		}
		r, err := store.work(ctx, append(env, oneCore), "read", s.url, string(what))
		if err != nil {
			return 0, err
		}
		w, err := store.work(ctx, []string{oneCore}, "raw", s.url, string(what))
		if err != nil {
			return 0, err
		}
		if r.Bytes != w.Bytes {
			return 0, fmt.Errorf("history gave %d bytes of records, the ranges %d", r.Bytes, w.Bytes)
		}
		b.logf("  %s round %d: %s history %.0f MB/s, ranges %.0f MB/s", row.ID, round+1, codec, r.perSecond()/1e6, w.perSecond()/1e6)
		ratios, read, raw = append(ratios, 100*r.perSecond()/w.perSecond()), append(read, r.perSecond()/1e6), append(raw, w.perSecond()/1e6)
		cpu = append(cpu, r.CPU/w.CPU)
	}
	row.value(codec+": history", median(read), "MB/s of records")
	row.value(codec+": ranges", median(raw), "MB/s of records")
	row.value(codec+": CPU of history / ranges", median(cpu), "x")
	return median(ratios), nil
}

// oneCore tells bench/bucket where to stay.
const oneCore = "STRATA_BENCH_CORE=0"

// bindProcess keeps all threads of a process to one core, until restore. A machine of one core has nothing to keep
// apart.
func bindProcess(pid, core int) (restore func(), err error) {
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &before); err != nil {
		return nil, fmt.Errorf("cores of process %d: %w", pid, err)
	}
	if !before.IsSet(core) {
		return func() {}, nil
	}
	set.Set(core)
	apply := func(set *unix.CPUSet) error {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, set); err != nil {
				return fmt.Errorf("bind process %d to a core: %w", pid, err)
			}
		}
		return nil
	}
	if err := apply(&set); err != nil {
		return nil, err
	}
	return func() { _ = apply(&before) }, nil // it ends with the run
}

// findMetric finds a sample without labels in the text form of Prometheus.
func findMetric(text io.Reader, name string) (float64, error) {
	scanner := bufio.NewScanner(text)
	for scanner.Scan() {
		if value, ok := strings.CutPrefix(scanner.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	if err := scanner.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}
