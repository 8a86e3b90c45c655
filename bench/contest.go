package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// contender is one side of a comparison.
type contender struct {
	name  string
	cpu   func() (time.Duration, error)
	load  func(round int) (load, error) // what its callers do in a round
	pprof string                        // base URL of the server's profiles, or ""
}

// same is the load of every round.
func same(l load) func(int) (load, error) { return func(int) (load, error) { return l, nil } }

// contest holds the windows of all rounds: of each round one per contender.
type contest struct{ rounds [][]window }

// hold lets the contenders take turns, for as many rounds as the settings say. Every other round goes backwards, so
// that a machine that becomes slower or faster favours nobody.
func (b *bench) hold(ctx context.Context, row string, contenders ...contender) (contest, error) {
	var c contest
	for round := range b.settings.rounds {
		windows := make([]window, len(contenders))
		for i := range contenders {
			if round%2 == 1 {
				i = len(contenders) - 1 - i
			}
			side := &contenders[i]
			l, err := side.load(round)
			if err != nil {
				return c, fmt.Errorf("%s: %w", side.name, err)
			}
			profiled := b.profile(ctx, side.pprof, fmt.Sprintf("%s-%s-%d", row, side.name, round))
			windows[i], err = l.run(ctx, side.cpu, b.settings.warm, b.settings.window)
			if err != nil {
				return c, fmt.Errorf("%s: %w", side.name, err)
			}
			if err := <-profiled; err != nil {
				return c, fmt.Errorf("profile of %s: %w", side.name, err)
			}
			b.logf("  %s round %d: %-8s %9.0f/s  %6.2f µs of server CPU", row, round+1, side.name, windows[i].perSecond(), windows[i].cpuMicros())
		}
		c.rounds = append(c.rounds, windows)
	}
	return c, nil
}

// median returns the median over all rounds of a number that is computed from the windows of one.
func (c contest) median(of func(w []window) float64) float64 {
	values := make([]float64, len(c.rounds))
	for i, windows := range c.rounds {
		values[i] = of(windows)
	}
	return median(values)
}

// measuredSide is the contender that a row is about; the echo is the first, others follow.
const measuredSide = 1

// rateRatio compares the messages per second with those of another contender.
func (c contest) rateRatio(to int) float64 {
	return c.median(func(w []window) float64 { return w[measuredSide].perSecond() / w[to].perSecond() })
}

// cpuRatio compares the server CPU per message with that of another contender.
func (c contest) cpuRatio(to int) float64 {
	return c.median(func(w []window) float64 { return w[measuredSide].cpuMicros() / w[to].cpuMicros() })
}

func (c contest) perSecond(of int) float64 {
	return c.median(func(w []window) float64 { return w[of].perSecond() })
}

func (c contest) cpuMicros(of int) float64 {
	return c.median(func(w []window) float64 { return w[of].cpuMicros() })
}

// report notes the medians of a contest whose first contender is the echo.
func (c contest) report(row *Row, contenders ...contender) {
	row.Echo = &Echo{c.perSecond(0), c.cpuMicros(0)}
	for i := range contenders[1:] {
		name := contenders[1+i].name
		row.value(name+" rate", c.perSecond(1+i), "/s")
		row.value(name+" server CPU", c.cpuMicros(1+i), "µs")
	}
}

// profile fetches a CPU profile of the window that begins after the warm-up, if profiles were asked for. The channel
// gives one answer.
func (b *bench) profile(ctx context.Context, base, name string) <-chan error {
	done := make(chan error, 1)
	if b.settings.profile == "" || base == "" {
		done <- nil
		return done
	}
	go func() {
		if err := pause(ctx, b.settings.warm); err != nil {
			done <- err
			return
		}
		seconds := max(1, int(b.settings.window.Seconds()))
		done <- fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, seconds), filepath.Join(b.settings.profile, name+".pb.gz"))
	}()
	return done
}

// profileWork returns what makes bench/bucket write a profile of that name, if profiles were asked for.
func (b *bench) profileWork(name string) (env []string, err error) {
	if b.settings.profile == "" {
		return nil, nil
	}
	path, err := filepath.Abs(filepath.Join(b.settings.profile, name+".pb.gz"))
	if err != nil {
		return nil, err
	}
	return []string{"STRATA_BENCH_PROFILE=" + path}, os.MkdirAll(filepath.Dir(path), 0o755)
}

func fetch(ctx context.Context, url, path string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // errcheck: its end was read, or an error is returned
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		_ = f.Close() // the first error counts
		return err
	}
	return f.Close()
}
