package ledger

import (
	"encoding/json"
	"fmt"
	"os"
)

// Line is what one run adds to the record of all runs, reliability/ledger.jsonl.
type Line struct {
	Run     string         `json:"run"`    // which loop
	Commit  string         `json:"commit"` // of the code that ran
	Seed    uint64         `json:"seed"`
	Faults  map[string]int `json:"faults"` // how many of which kind
	Acked   int64          `json:"acked"`
	Lost    int64          `json:"lost"`
	Dup     int64          `json:"dup"`
	Broken  int64          `json:"broken"` // promises, the lost and the doubled included
	Seconds float64        `json:"seconds"`
}

// Append adds the line to a file, whole and synced.
func (line *Line) Append(path string) error {
	text, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("record of runs: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("record of runs: %w", err)
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		_ = f.Close() // the write has failed, and that is what is told
		return fmt.Errorf("record of runs: %w", err)
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return fmt.Errorf("record of runs: %w", err)
	}
	return f.Close()
}

// Bound is the rate of loss that n trials without one leave possible at 95 % confidence: 3/n.
func Bound(n int) float64 { return 3 / float64(max(n, 1)) }
