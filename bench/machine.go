package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where a run took place.
type Machine struct {
	CPUs      int     `json:"cpus"`
	Model     string  `json:"cpu_model"`
	MemoryMiB int64   `json:"memory_mib"`
	Kernel    string  `json:"kernel"`
	Go        string  `json:"go"`
	Load      float64 `json:"load"`         // average of the minute before the run: what else was going on
	SyncMicro float64 `json:"fdatasync_us"` // median of a 4 KiB write and its fdatasync in a file that was written before
}

func describeMachine(dir string) (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Model: cpuModel()}
	var sys unix.Sysinfo_t
	if err := unix.Sysinfo(&sys); err != nil {
		return m, fmt.Errorf("sysinfo: %w", err)
	}
	m.MemoryMiB = int64(sys.Totalram) * int64(sys.Unit) >> 20
	m.Load = float64(sys.Loads[0]) / (1 << 16)
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(uts.Release[:])
	sync, err := measureSync(dir, 400)
	if err != nil {
		return m, err
	}
	m.SyncMicro = micros(sync)
	return m, nil
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close() //nolint:errcheck // errcheck: it was only read
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		if name, value, ok := strings.Cut(scanner.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// measureSync returns the median time of a 4 KiB append and its fdatasync, in a file of dir that was filled with zeros
// and synced before, as the broker's own log is.
func measureSync(dir string, samples int) (time.Duration, error) {
	const page = 4 << 10
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the folder is temporary as well
	defer f.Close()                            //nolint:errcheck // errcheck: the file is thrown away
	if _, err := f.Write(make([]byte, page*samples)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	data := []byte(strings.Repeat("x", page))
	took := make([]time.Duration, samples)
	for i := range took {
		start := time.Now()
		if _, err := f.WriteAt(data, int64(i)*page); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, fmt.Errorf("fdatasync: %w", err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[samples/2], nil
}

// revision names the commit that is measured.
func revision() string {
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output() //nolint:noctx // noctx: git answers from its folder at once
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if exec.Command("git", "diff", "--quiet", "HEAD").Run() != nil { //nolint:noctx // noctx: as above
		name += "+"
	}
	return name
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
