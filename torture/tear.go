package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// page is the size in bytes at whose multiples frames begin.
const page = 4096

// seekHole is lseek's SEEK_HOLE.
const seekHole = 4

// tear leaves behind the last frame of the log what a write leaves that a power cut interrupts: part of a
// page that is no frame. A kill alone does not do that, since a write that has begun goes on; recovery must
// cut it. It reports false if there is no log or no room.
func tear(dataDir string, rng interface{ IntN(int) int }) (bool, error) {
	files, err := filepath.Glob(filepath.Join(dataDir, "shards", "*", "log", "*.log"))
	if err != nil || len(files) == 0 {
		return false, err
	}
	f, err := os.OpenFile(slices.Max(files), os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("tear: %w", err)
	}
	at, room, err := endOf(f)
	if err == nil && room {
		garbage := make([]byte, 16+rng.IntN(page-16))
		for i := range garbage {
			garbage[i] = byte(1 + rng.IntN(255))
		}
		_, err = f.WriteAt(garbage, at)
	}
	return err == nil && room, errors.Join(err, f.Close())
}

// endOf finds the page behind the last one that is not all zeros.
func endOf(f *os.File) (at int64, room bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, false, fmt.Errorf("tear: %w", err)
	}
	size := info.Size()
	if hole, err := f.Seek(0, seekHole); err == nil && hole < size {
		size = (hole + page - 1) / page * page
	} else if err != nil && !errors.Is(err, syscall.ENXIO) {
		return 0, false, fmt.Errorf("tear: %w", err)
	}
	buf := make([]byte, page)
	for at = (size - 1) / page * page; at >= 0; at -= page {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, false, fmt.Errorf("tear: %w", err)
		}
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			return at + page, at+2*page <= info.Size(), nil
		}
	}
	return 0, false, nil
}
