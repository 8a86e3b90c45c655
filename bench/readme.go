package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// language is one of the two that the README is written in.
type language struct {
	file   string
	header [5]string
	words  map[string]string // English words of the table to those of the language
	facts  string            // a format of processors, model, kernel, revision, rounds
	echo   string            // a format of the echo's rate and CPU
	failed string
}

var english = &language{
	file:   "README.md",
	header: [5]string{"path", "what", "goal", "measured", "verdict"},
	facts: "Measured %s on %d cores (%s), Linux %s, revision %s, %d rounds per row; client and server share the cores, so ratios to a bare " +
		"gRPC echo of the same run are what counts. A 4 KiB write with its fdatasync took %.0f µs.",
	echo:   "The echo: %s calls per second, %.1f µs of server CPU each (median of the rows).",
	failed: "not measured",
}

var chinese = &language{
	file:   "README.zh-CN.md",
	header: [5]string{"路径", "指标", "目标", "实测", "结论"},
	words:  chineseWords,
	facts: "测量于 %s，%d 核（%s），Linux %s，版本 %s，每行 %d 轮；客户端与服务端共用这些核，因此应看与同一次运行中裸 gRPC echo 的比值。" +
		"一次 4 KiB 写入加 fdatasync 用时 %.0f µs。",
	echo:   "echo：每秒 %s 次调用，每次消耗服务端 CPU %.1f µs（各行的中位数）。",
	failed: "未测量",
}

// The marks in the READMEs between which the table lies.
const (
	markBegin = "<!-- bench:begin"
	markEnd   = "<!-- bench:end -->"
)

func runReport(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("bench report", flag.ContinueOnError)
	flags.SetOutput(stderr)
	in := flags.String("in", "bench/out.json", "the JSON of the run; several, separated by commas, are put together")
	readme := flags.Bool("readme", false, "put the table into README.md and README.zh-CN.md")
	if err := flags.Parse(args); err != nil {
		return err
	}
	report, err := readReports(strings.Split(*in, ","))
	if err != nil {
		return err
	}
	if !*readme {
		fmt.Fprintln(stdout, report.table(english))
		return nil
	}
	if report.Quick {
		return errors.New("a quick run measures nothing; it does not go into the README")
	}
	for _, l := range []*language{english, chinese} {
		if err := l.rewrite(report); err != nil {
			return err
		}
	}
	return nil
}

// readReports reads runs and appends the rows of the later ones to the first.
func readReports(paths []string) (*Report, error) {
	var report *Report
	for _, path := range paths {
		next, err := readReport(path)
		if err != nil {
			return nil, err
		}
		if report == nil {
			report = next
			continue
		}
		report.Rows = append(report.Rows, next.Rows...)
		report.Quick = report.Quick || next.Quick
	}
	return report, nil
}

// rewrite puts the report between the marks of the language's README.
func (l *language) rewrite(report *Report) error {
	text, err := os.ReadFile(l.file)
	if err != nil {
		return err
	}
	replaced, err := between(string(text), report.table(l))
	if err != nil {
		return fmt.Errorf("%s: %w", l.file, err)
	}
	return os.WriteFile(l.file, []byte(replaced), 0o644) //nolint:gosec // gosec: a README is for everybody
}

// between replaces what lies between the marks, which stand on lines of their own.
func between(text, table string) (string, error) {
	begin := strings.Index(text, markBegin)
	end := strings.Index(text, markEnd)
	if begin < 0 || end < begin {
		return "", fmt.Errorf("the marks %q and %q are missing", markBegin, markEnd)
	}
	line := begin + strings.IndexByte(text[begin:], '\n') + 1
	return text[:line] + table + "\n" + text[end:], nil
}

// table writes the report for people.
func (r *Report) table(l *language) string {
	var out strings.Builder
	m := r.Machine
	fmt.Fprintf(&out, l.facts, r.Started.Format("2006-01-02"), m.CPUs, m.Model, m.Kernel, r.Revision, r.Rounds, m.SyncMicro)
	var rates, cpus []float64
	for _, row := range r.Rows {
		if row.Echo != nil {
			rates, cpus = append(rates, row.Echo.PerSecond), append(cpus, row.Echo.ServerCPU)
		}
	}
	if len(rates) > 0 {
		fmt.Fprintf(&out, "\n"+l.echo, thousands(median(rates)), median(cpus))
	}
	fmt.Fprintf(&out, "\n\n| %s |\n|---|---|---|---|---|\n", strings.Join(l.header[:], " | "))
	for _, row := range r.Rows {
		path := l.word(row.Path)
		if row.incomplete() != "" {
			fmt.Fprintf(&out, "| %s | | | | %s |\n", path, l.failed)
			continue
		}
		for _, c := range row.Checks {
			goal := strings.Replace(strings.Replace(c.Op, ">=", "≥", 1), "<=", "≤", 1) + " " + amount(c.Goal, c.Unit)
			fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", path, l.word(c.Name), goal, amount(c.Measured, c.Unit), l.word(c.Verdict))
			path = ""
		}
	}
	return strings.TrimRight(out.String(), "\n")
}

// word translates; what has no translation stays.
func (l *language) word(text string) string {
	if word, ok := l.words[text]; ok {
		return word
	}
	return text
}

// amount prints three digits that count, and the unit.
func amount(value float64, unit string) string {
	var text string
	switch {
	case value >= 100 || value <= -100:
		text = fmt.Sprintf("%.0f", value)
	case value >= 10 || value <= -10:
		text = fmt.Sprintf("%.1f", value)
	case value >= 1 || value <= -1 || value == 0:
		text = fmt.Sprintf("%.2f", value)
	default:
		text = fmt.Sprintf("%.3g", value)
	}
	if strings.Contains(text, ".") && !strings.Contains(text, "e") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	switch unit {
	case "":
		return text
	case "x":
		return text + " ×"
	default:
		return text + " " + unit
	}
}

// thousands prints a whole number with commas.
func thousands(value float64) string {
	text := fmt.Sprintf("%.0f", value)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
