package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// FS_IOC_SHUTDOWN with the flag "no log flush" makes a file system forget, there and then, what it has not
// written to its device: neither data nor journal in memory get out any more. The device keeps what was synced,
// as after a power cut.
const (
	fsIocShutdown  = 0x8004587d
	shutdownNoLogs = 2
)

// unmountTimeout bounds how long a dead process may hold its file system.
const unmountTimeout = 10 * time.Second

// image is an ext4 file system in a file.
type image struct {
	file  string
	mount string
	loop  string // device while mounted
}

// errNeedsRoot says what is missing.
var errNeedsRoot = errors.New("needs root and loop devices (losetup, mkfs.ext4, mount): without them there is no power to cut")

// newImage makes an ext4 file system of so many bytes in file, which may be sparse, and mounts it.
func newImage(ctx context.Context, file, mount string, size int64) (*image, error) {
	if os.Geteuid() != 0 {
		return nil, errNeedsRoot
	}
	m := &image{file: file, mount: mount}
	if err := os.MkdirAll(mount, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, err
	}
	if _, err := command(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1", file); err != nil {
		return nil, fmt.Errorf("%w: %w", errNeedsRoot, err)
	}
	if m.loop, err = command(ctx, "losetup", "--find", "--show", file); err != nil {
		return nil, fmt.Errorf("%w: %w", errNeedsRoot, err)
	}
	if err := m.attach(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNeedsRoot, err), m.detach(ctx))
	}
	return m, nil
}

func (m *image) attach(ctx context.Context) error {
	_, err := command(ctx, "mount", "-t", "ext4", m.loop, m.mount)
	return err
}

// cutPower shuts the file system down.
func (m *image) cutPower() error {
	dir, err := os.Open(m.mount)
	if err != nil {
		return fmt.Errorf("power cut: %w", err)
	}
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), fsIocShutdown, shutdownNoLogs); err != nil {
		return errors.Join(fmt.Errorf("power cut: %w", err), dir.Close())
	}
	return dir.Close()
}

// unmount takes the file system away once no process holds it any more.
func (m *image) unmount(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, unmountTimeout)
	defer cancel()
	for {
		err := syscall.Unmount(m.mount, 0)
		if err == nil || errors.Is(err, syscall.EINVAL) { // not mounted
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("unmount %s: %w", m.mount, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// detach gives the loop device back.
func (m *image) detach(ctx context.Context) error {
	_, err := command(ctx, "losetup", "--detach", m.loop)
	return err
}

// close takes everything away.
func (m *image) close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	return errors.Join(m.unmount(ctx), m.detach(ctx), os.Remove(m.file))
}

// command runs a program and returns what it printed, its errors included.
func command(ctx context.Context, name string, args ...string) (string, error) {
	text, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	out := strings.TrimSpace(string(text))
	if err != nil {
		return out, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return out, nil
}

// exitCodeOf returns the exit code of a command's error, 0 for nil.
func exitCodeOf(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}
