package failpoint

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var fpTest = Register("failpoint/test")

// The variables that make the test's binary the program, and one that hits the point in another goroutine.
const (
	envChild  = "STRATA_FAILPOINT_TEST_CHILD"
	envOthers = "STRATA_FAILPOINT_TEST_OTHERS"
)

// TestMain is also the program that is killed: with the variable set it hits the point five times.
func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	if err := Check(); err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	hit := func() {
		for i := range 5 {
			fmt.Println("hit", i+1)
			fpTest.Hit()
		}
	}
	if os.Getenv(envOthers) == "" {
		hit()
		return
	}
	go hit()
	for fpTest.hits.Load() < 2 {
		runtime.Gosched()
	}
	fmt.Println("others go on")
}

func child(t *testing.T, points, hits string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), envChild+"=1", EnvPoints+"="+points, EnvHits+"="+hits)
	out := new(bytes.Buffer)
	cmd.Stdout = out
	return cmd, out
}

func TestKillAtTheThirdHit(t *testing.T) {
	hits := filepath.Join(t.TempDir(), "hits")
	cmd, out := child(t, "failpoint/test=kill@3", hits)
	err := cmd.Run()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("ended with %v", err)
	}
	if got := out.String(); got != "hit 1\nhit 2\nhit 3\n" {
		t.Errorf("printed %q", got)
	}
	counted, err := os.ReadFile(hits)
	if err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	want := fmt.Sprintf("%d failpoint/test 0\n%d failpoint/test 1\n%d failpoint/test 2\n%d failpoint/test 3\n", pid, pid, pid, pid)
	if string(counted) != want {
		t.Errorf("counted %q, want %q", counted, want)
	}
}

func TestPause(t *testing.T) {
	cmd, out := child(t, "failpoint/test=pause@2", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, status %v", err, status)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), "hit") != 5 {
		t.Errorf("printed %q", out)
	}
}

// TestHang: the goroutine that hits the point stays there, and the count says so before.
func TestHang(t *testing.T) {
	hits := filepath.Join(t.TempDir(), "hits")
	cmd, out := child(t, "failpoint/test=hang@2", hits)
	cmd.Env = append(cmd.Env, envOthers+"=1")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "hit 1\nhit 2\nothers go on\n" {
		t.Errorf("printed %q", got)
	}
	counted, err := os.ReadFile(hits)
	if err != nil || !strings.HasSuffix(string(counted), " failpoint/test 2\n") {
		t.Errorf("counted %q, %v", counted, err)
	}
}

func TestWrongOrdersAreToldAtTheStart(t *testing.T) {
	for _, points := range []string{"failpoint/none=kill", "failpoint/test=burn", "failpoint/test=kill@0", "failpoint/test", "=kill"} {
		cmd, out := child(t, points, "")
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("%s: %v, %s", points, err, out)
		}
	}
}

func TestHookAndNames(t *testing.T) {
	n := 0
	remove := Hook("failpoint/test", func() { n++ })
	fpTest.Hit()
	remove()
	fpTest.Hit()
	if n != 1 {
		t.Errorf("hook ran %d times", n)
	}
	if !slices.Contains(Names(), "failpoint/test") {
		t.Error(Names())
	}
}

func BenchmarkHitDisarmed(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		fpTest.Hit()
	}
}
