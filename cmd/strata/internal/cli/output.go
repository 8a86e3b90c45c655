package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// The output formats.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// checkOutput refuses a format that there is not.
func (e *env) checkOutput() error {
	if e.output != outputTable && e.output != outputJSON {
		return usage("--output: %q is neither table nor json", e.output)
	}
	return nil
}

// table is output for people.
type table struct {
	header []string
	rows   [][]string
	notes  []string // lines below the rows
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) row(cells ...any) {
	row := make([]string, 0, len(cells))
	for _, cell := range cells {
		row = append(row, clean(fmt.Sprint(cell)))
	}
	t.rows = append(t.rows, row)
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

func (t *table) writeTo(w io.Writer) error {
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.header) > 0 {
		fmt.Fprintln(tabs, strings.Join(t.header, "\t"))
	}
	for _, row := range t.rows {
		fmt.Fprintln(tabs, strings.Join(row, "\t"))
	}
	if err := tabs.Flush(); err != nil {
		return err
	}
	for _, note := range t.notes {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}

// clean makes text harmless to a terminal and to the table: what a producer wrote must not move the cursor.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

// print prints v as JSON or t as a table, as asked.
func (e *env) print(v any, t *table) error {
	if err := e.checkOutput(); err != nil {
		return err
	}
	if e.output == outputTable {
		return t.writeTo(e.stdout)
	}
	return e.printJSON(v, true)
}

// printJSON prints one JSON value: over several lines, or as one line of a stream. A message of the admin
// API gets the API's own field names, and fields that are empty too, so that programs find them.
func (e *env) printJSON(v any, indent bool) error {
	var raw []byte
	var err error
	if m, ok := v.(proto.Message); ok {
		raw, err = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	} else {
		raw, err = json.Marshal(v)
	}
	if err != nil {
		return err
	}
	// The protobuf encoder varies its white space from build to build on purpose.
	var out bytes.Buffer
	if indent {
		err = json.Indent(&out, raw, "", "  ")
	} else {
		err = json.Compact(&out, raw)
	}
	if err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err = e.stdout.Write(out.Bytes())
	return err
}
