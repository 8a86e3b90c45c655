package s3server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binary returns the path of the server's binary. It lets tools/install build it if it is not in the tools cache: that
// knows the version, and test processes that need it at the same time wait there for one of them.
func Binary(ctx context.Context) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "tools", "install"), "versitygw")
	cmd.Dir = root
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, io.MultiWriter(&stderr, os.Stderr) // what is built, why, and how long it took
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the S3 server with tools/install versitygw: %w\n%s", err, &stderr)
	}
	return strings.TrimSpace(stdout.String()), nil
}

// repository returns the directory with go.work, at or above the working directory.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.work"))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the working directory is outside the repository: no go.work above it")
		}
		dir = filepath.Dir(dir)
	}
}
