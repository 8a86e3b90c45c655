package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/multipart"
	"github.com/stratamq/stratamq/tiering/segment"
)

// copyKey is where copyFile leaves nothing behind.
const copyKey = "bench-copy"

// copyFile uploads a file and downloads it, in parts and ranges of the size that a seal uses: what a bucket costs
// whoever does nothing with the bytes.
func copyFile(ctx context.Context, store tiering.ObjectStore, path string) (_ cost, err error) {
	f, err := os.Open(path)
	if err != nil {
		return cost{}, err
	}
	defer f.Close() //nolint:errcheck // errcheck: it was only read
	t := startTimer()
	config := multipart.DefaultConfig()
	w, err := multipart.New(ctx, store, copyKey, config)
	if err != nil {
		return cost{}, err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return cost{}, errors.Join(err, w.Abort(ctx))
	}
	written, err := w.Complete(ctx, tiering.PutOptions{})
	if err != nil {
		return cost{}, err
	}
	defer func() { err = errors.Join(err, store.Delete(ctx, copyKey)) }()
	buf := make([]byte, 8<<20)
	for off := int64(0); off < written.Size; off += int64(len(buf)) {
		if err := store.GetRange(ctx, copyKey, buf[:min(int64(len(buf)), written.Size-off)], off); err != nil {
			return cost{}, err
		}
	}
	return t.cost(written.Size), nil
}

// compressFile compresses a file in pieces of a block's size, with the encoder of a seal.
func compressFile(path string) (cost, error) {
	f, err := os.Open(path)
	if err != nil {
		return cost{}, err
	}
	defer f.Close() //nolint:errcheck // errcheck: it was only read
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		return cost{}, err
	}
	block, out := make([]byte, segment.DefaultBlockSize), []byte(nil)
	var total int64
	t := startTimer()
	for {
		n, err := io.ReadFull(f, block)
		total += int64(n)
		if n > 0 {
			out = encoder.EncodeAll(block[:n], out[:0])
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return t.cost(total), nil
		}
		if err != nil {
			return cost{}, fmt.Errorf("read %s: %w", path, err)
		}
	}
}
