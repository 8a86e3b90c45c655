package conformance

import (
	"fmt"
	"strings"
)

// table is case × client: verdicts by run, then by case.
type table struct {
	runs     []run
	verdicts map[string]map[string]verdict
}

// markdown prints the table, one for plaintext and one for TLS. What is not a pass is a number that the lines below
// the tables explain.
func (t table) markdown() string {
	var b strings.Builder
	var notes []string
	numbers := map[string]int{}
	for _, secure := range []bool{false, true} {
		var columns []run
		for _, r := range t.runs {
			if r.tls == secure {
				columns = append(columns, r)
			}
		}
		if len(columns) == 0 {
			continue
		}
		title := "plaintext"
		if secure {
			title = "TLS"
		}
		fmt.Fprintf(&b, "\n| %s |", title)
		for _, r := range columns {
			fmt.Fprintf(&b, " %s %s |", r.client.language, r.client.version)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
		for _, name := range columns[0].cases {
			fmt.Fprintf(&b, "| %s |", name)
			for _, r := range columns {
				v := t.verdicts[r.String()][name]
				if v.state == "PASS" {
					b.WriteString(" pass |")
					continue
				}
				note := v.state + ": " + v.reason
				if v.state == "FAIL" {
					note = r.String() + " " + name + ": " + note
				}
				if numbers[note] == 0 {
					notes = append(notes, note)
					numbers[note] = len(notes)
				}
				fmt.Fprintf(&b, " %s [%d] |", strings.ToLower(v.state), numbers[note])
			}
			b.WriteString("\n")
		}
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	for i, note := range notes {
		fmt.Fprintf(&b, "[%d] %s\n", i+1, note)
	}
	return b.String()
}
