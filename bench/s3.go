package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stratamq/stratamq/internal/s3server"
)

// objectStore is an S3 server for a run: versitygw over a folder.
type objectStore struct {
	server *s3server.Server
	dir    string // a bucket is a folder in it
	log    string // a line per request
	tool   string // the built bench/bucket
}

// objects starts the S3 server on the first call, and builds what works on its bucket.
func (b *bench) objects(ctx context.Context) (*objectStore, error) {
	if b.store != nil {
		return b.store, nil
	}
	binary, err := s3server.Binary(ctx)
	if err != nil {
		return nil, err
	}
	s := &objectStore{dir: filepath.Join(b.scratch, "s3"), log: filepath.Join(b.scratch, "s3.log"), tool: filepath.Join(b.scratch, "bucket")}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", s.tool, "./bench/bucket")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build bench/bucket: %w: %s", err, out)
	}
	if s.server, err = s3server.Start(ctx, binary, s.dir, "--access-log", s.log); err != nil {
		return nil, err
	}
	b.store = s
	return s, nil
}

// url names a bucket, made if need be.
func (s *objectStore) url(bucket string) (string, error) {
	if err := s.server.CreateBucket(bucket); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return s.server.Location(bucket, "").String(), nil
}

// credentials are the environment variables that open the store.
func credentials() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s3server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3server.SecretKey}
}

// cost is what bench/bucket says of its work.
type cost struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Bytes   int64   `json:"bytes"`
}

func (c cost) perSecond() float64 { return float64(c.Bytes) / c.Seconds }

// work runs bench/bucket.
func (s *objectStore) work(ctx context.Context, env []string, args ...string) (cost, error) {
	cmd := exec.CommandContext(ctx, s.tool, args...)
	cmd.Env = append(append(os.Environ(), credentials()...), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return cost{}, fmt.Errorf("bucket %s: %w: %s", args[0], err, &stderr)
	}
	var c cost
	if err := json.Unmarshal(out, &c); err != nil {
		return cost{}, fmt.Errorf("bucket %s: %w", args[0], err)
	}
	return c, nil
}

// puts counts the requests so far that stored a body in a bucket: objects and parts.
func (s *objectStore) puts(bucket string) (n int, err error) {
	f, err := os.Open(s.log)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // errcheck: it was only read
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		if isPut(scanner.Text(), bucket) {
			n++
		}
	}
	return n, scanner.Err()
}

// isPut reads a line of the server's access log: owner, bucket, time (two words), address, requester, request, operation,
// key, path and more.
func isPut(line, bucket string) bool {
	fields := strings.Fields(line)
	at := slices.IndexFunc(fields, func(word string) bool { return word == "s3_PutObject" || word == "s3_UploadPart" })
	return at >= 0 && at+2 < len(fields) && strings.HasPrefix(fields[at+2], "/"+bucket+"/")
}
