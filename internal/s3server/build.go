package s3server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Version is the pinned version of the server.
const Version = "v1.8.0"

const modulePath = "github.com/versity/versitygw/cmd/versitygw"

// Binary returns the path of the server's binary, and builds it first if it is not in the tools cache. Test processes
// that need it at the same time wait for one of them to build it.
func Binary(ctx context.Context) (string, error) {
	tools, err := toolsDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(tools, "versitygw-"+Version)
	binary := filepath.Join(dir, "versitygw")
	if executable(binary) {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make tools cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return "", fmt.Errorf("lock tools cache: %w", err)
	}
	defer lock.Close() //nolint:errcheck // errcheck: closing only lets go of the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock tools cache: %w", err)
	}
	if executable(binary) {
		return binary, nil
	}
	return binary, build(ctx, dir)
}

func build(ctx context.Context, dir string) error {
	fmt.Fprintf(os.Stderr, "building %s@%s into %s: the S3 server that the object store is tested against (once, some minutes)\n", modulePath, Version, dir)
	start := time.Now()
	cmd := exec.CommandContext(ctx, "go", "install", modulePath+"@"+Version)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s@%s: %w\n%s", modulePath, Version, err, output)
	}
	fmt.Fprintf(os.Stderr, "built versitygw in %v\n", time.Since(start).Round(time.Second))
	return nil
}

// toolsDir returns STRATA_TOOLS, or .cache/tools beside the repository's go.work.
func toolsDir() (string, error) {
	if dir := os.Getenv("STRATA_TOOLS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return filepath.Join(dir, ".cache", "tools"), nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no tools cache: STRATA_TOOLS is not set and the working directory is outside the repository")
		}
		dir = filepath.Dir(dir)
	}
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o100 != 0
}
