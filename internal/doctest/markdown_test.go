package doctest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// document is what the checks need to know of a Markdown file.
type document struct {
	headings []heading
	blocks   []string // fenced code blocks, the line of the fence included
	tables   []table
	links    []string
	symbols  []string // code spans that name a symbol of a package of ours
}

type heading struct {
	level int
	title string
}

type table struct{ rows, columns int }

var (
	linkPattern = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	codeSpan    = regexp.MustCompile("`[^`]+`")
	// symbolPattern is a package folder below the root, a dot, and an exported name, maybe with a method or field.
	symbolPattern = regexp.MustCompile("^`([a-z0-9]+(?:/[a-z0-9]+)*)\\.([A-Z][A-Za-z0-9]*)(?:\\.([A-Z][A-Za-z0-9]*))?`$")
)

// parseMarkdown reads the part of Markdown that our documents use.
func parseMarkdown(text string) document {
	var d document
	fenced := false
	inTable := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "```") {
			if !fenced {
				d.blocks = append(d.blocks, "")
			}
			fenced = !fenced
		}
		if fenced {
			d.blocks[len(d.blocks)-1] += line + "\n"
			continue
		}

		if strings.HasPrefix(trimmed, "|") {
			cells := strings.ReplaceAll(codeSpan.ReplaceAllString(trimmed, "code"), `\|`, "")
			columns := strings.Count(cells, "|") - 1
			if !inTable {
				d.tables = append(d.tables, table{columns: columns})
			}
			d.tables[len(d.tables)-1].rows++
		}
		inTable = strings.HasPrefix(trimmed, "|")

		if marks := len(line) - len(strings.TrimLeft(line, "#")); marks > 0 && strings.HasPrefix(line[marks:], " ") {
			d.headings = append(d.headings, heading{level: marks, title: strings.TrimSpace(line[marks:])})
		}
		for _, span := range codeSpan.FindAllString(line, -1) {
			if symbolPattern.MatchString(span) {
				d.symbols = append(d.symbols, span)
			}
		}
		for _, link := range linkPattern.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			d.links = append(d.links, link[1])
		}
	}
	return d
}

// anchor is the fragment that a heading gets where the repository is shown.
func anchor(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r == ' ':
			b.WriteRune('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// checkTwins returns a complaint per difference between two documents that say the same in two languages.
func checkTwins(a, b document) []string {
	var complaints []string
	if len(a.headings) != len(b.headings) {
		complaints = append(complaints, fmt.Sprintf("%d headings and %d", len(a.headings), len(b.headings)))
	}
	for i := range min(len(a.headings), len(b.headings)) {
		if a.headings[i].level != b.headings[i].level {
			complaints = append(complaints, fmt.Sprintf("heading %q has level %d, %q has %d",
				a.headings[i].title, a.headings[i].level, b.headings[i].title, b.headings[i].level))
		}
	}
	if len(a.blocks) != len(b.blocks) {
		complaints = append(complaints, fmt.Sprintf("%d code blocks and %d", len(a.blocks), len(b.blocks)))
	}
	for i := range min(len(a.blocks), len(b.blocks)) {
		if a.blocks[i] != b.blocks[i] {
			complaints = append(complaints, fmt.Sprintf("code block %d differs:\n%s\n%s", i+1, a.blocks[i], b.blocks[i]))
		}
	}
	if len(a.tables) != len(b.tables) {
		complaints = append(complaints, fmt.Sprintf("%d tables and %d", len(a.tables), len(b.tables)))
	}
	for i := range min(len(a.tables), len(b.tables)) {
		if a.tables[i] != b.tables[i] {
			complaints = append(complaints, fmt.Sprintf("table %d is %+v and %+v", i+1, a.tables[i], b.tables[i]))
		}
	}
	return complaints
}
