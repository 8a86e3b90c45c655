package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Report is what a run writes as JSON.
type Report struct {
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"` // how long the run took
	Quick    bool      `json:"quick"`   // a smoke run: the numbers mean nothing
	Rounds   int       `json:"rounds"`
	Machine  Machine   `json:"machine"`
	Revision string    `json:"revision"` // of the source, with "+" if it was changed
	Rows     []*Row    `json:"rows"`
}

// Row is one path and what was found out about it.
type Row struct {
	ID      string    `json:"id"`
	Path    string    `json:"path"` // what was done, for people
	Checks  []Check   `json:"checks"`
	Echo    *Echo     `json:"echo,omitempty"` // of this row's rounds
	Values  []Value   `json:"values"`         // what the checks were computed from, and what else is worth knowing
	Notes   []string  `json:"notes,omitempty"`
	Failure string    `json:"failure,omitempty"` // why there are no numbers
	Seconds float64   `json:"seconds"`
	Started time.Time `json:"started"`
}

// Check is one goal of a row.
type Check struct {
	Name     string  `json:"name"`
	Op       string  `json:"op"` // ">=" or "<="
	Goal     float64 `json:"goal"`
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"` // "x" for a ratio, "%", "s", "MiB" or ""
	Verdict  string  `json:"verdict"`
}

// Verdicts of a check.
const (
	verdictMet    = "met"
	verdictMissed = "missed"
)

// Value is a number that was measured.
type Value struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// Echo is the bare gRPC echo as it did in the rounds of a row: medians.
type Echo struct {
	PerSecond float64 `json:"per_second"`
	ServerCPU float64 `json:"server_cpu_us"` // µs per call
}

// atLeast adds a goal that is met from bound upwards.
func (r *Row) atLeast(name string, measured, bound float64, unit string) {
	r.check(name, ">=", measured, bound, unit, measured >= bound)
}

// atMost adds a goal that is met up to bound.
func (r *Row) atMost(name string, measured, bound float64, unit string) {
	r.check(name, "<=", measured, bound, unit, measured <= bound)
}

func (r *Row) check(name, op string, measured, bound float64, unit string, met bool) {
	verdict := verdictMissed
	if met {
		verdict = verdictMet
	}
	r.Checks = append(r.Checks, Check{Name: name, Op: op, Goal: bound, Measured: measured, Unit: unit, Verdict: verdict})
}

func (r *Row) value(name string, value float64, unit string) {
	r.Values = append(r.Values, Value{name, value, unit})
}

// incomplete says what is missing for r to count as measured, or nothing. JSON has no NaN and no infinity, which come
// of a division by a count or a time that was 0.
func (r *Row) incomplete() string {
	if r.Failure != "" {
		return r.Failure
	}
	if len(r.Checks) == 0 {
		return "no number"
	}
	for i := range r.Checks {
		if c := &r.Checks[i]; math.IsNaN(c.Measured) || math.IsInf(c.Measured, 0) {
			return fmt.Sprintf("%s is no number", c.Name)
		}
	}
	return ""
}

// write stores the report as JSON; the file appears whole.
func (r *Report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temp := path + ".tmp"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func readReport(path string) (*Report, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
