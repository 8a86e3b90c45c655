package broker

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Hits reads a file of failpoint hits: for each point that any of the processes had, the sum over the
// processes of the highest count that was noted, which is exact to within a factor of two.
func Hits(path string) (map[string]int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]int64{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("failpoint hits: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	type key struct {
		pid  int
		name string
	}
	highest := make(map[key]int64)
	hits := make(map[string]int64)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var pid int
		var name string
		var count int64
		if _, err := fmt.Fscan(strings.NewReader(lines.Text()), &pid, &name, &count); err != nil {
			return nil, fmt.Errorf("failpoint hits: line %q: %w", lines.Text(), err)
		}
		k := key{pid, name}
		if count < highest[k] {
			highest[k] = 0 // the number of a process came again
		}
		hits[name] += count - highest[k]
		highest[k] = count
	}
	return hits, lines.Err()
}

// HitsEnd returns how long the file of hits is, in bytes.
func HitsEnd(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("failpoint hits: %w", err)
	}
	return info.Size(), nil
}

// Reached reports whether a line behind the byte from says that a process came to that hit of a point.
func Reached(path string, from int64, point string, hit int64) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("failpoint hits: %w", err)
	}
	return strings.Contains(string(text[min(from, int64(len(text))):]), fmt.Sprintf(" %s %d\n", point, hit)), nil
}
