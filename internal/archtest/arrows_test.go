package archtest

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
)

// modulePath is the root of the paths of all our packages, in whichever module they are.
const modulePath = "github.com/stratamq/stratamq"

// arrows is the table of arrows.txt: per kind of line, from a pattern to the patterns it names.
type arrows struct {
	allow map[string][]string
	test  map[string][]string // beyond allow, for tests
	never map[string][]string
}

// parseArrows reads the table; its grammar stands at the head of arrows.txt.
func parseArrows(text string) (arrows, error) {
	table := arrows{allow: map[string][]string{}, test: map[string][]string{}, never: map[string][]string{}}
	scanner := bufio.NewScanner(strings.NewReader(text))
	for number := 1; scanner.Scan(); number++ {
		words := strings.Fields(scanner.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var kind map[string][]string
		var to []string
		switch {
		case len(words) >= 2 && words[1] == "->":
			kind, to = table.allow, words[2:]
		case len(words) >= 3 && words[1] == "test" && words[2] == "->":
			kind, to = table.test, words[3:]
		case len(words) >= 3 && words[1] == "never":
			kind, to = table.never, words[2:]
		default:
			return arrows{}, fmt.Errorf("line %d is no arrow: %q", number, scanner.Text())
		}
		if _, twice := kind[words[0]]; twice {
			return arrows{}, fmt.Errorf("line %d: a second line of this kind for %s", number, words[0])
		}
		kind[words[0]] = to
	}
	return table, scanner.Err()
}

// fits says whether the package at path (below the module path) is meant by pattern.
func fits(pattern, path string) bool {
	tree, isTree := strings.CutSuffix(pattern, "/...")
	return path == tree || isTree && strings.HasPrefix(path, tree+"/")
}

// longest returns the line of kind whose pattern fits path most closely.
func longest(kind map[string][]string, path string) (to []string, found bool) {
	best := ""
	for pattern := range kind {
		if fits(pattern, path) && len(pattern) > len(best) {
			best = pattern
		}
	}
	to, found = kind[best]
	return to, found
}

// ours returns the path of a package of this repository below the module path.
func ours(importPath string) (string, bool) {
	if importPath == modulePath {
		return ".", true
	}
	return strings.CutPrefix(importPath, modulePath+"/")
}

// listed is what `go list -json` says about a package.
type listed struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// checkArrows returns a complaint per import that the table does not allow.
func checkArrows(table arrows, packages []listed) []string {
	var complaints []string
	for _, p := range packages {
		from, ok := ours(p.ImportPath)
		if !ok {
			complaints = append(complaints, p.ImportPath+" is not below "+modulePath)
			continue
		}
		allowed, known := longest(table.allow, from)
		if !known {
			complaints = append(complaints, from+" has no line in arrows.txt: which part of the system is it?")
			continue
		}
		inTests, _ := longest(table.test, from)
		inTests = slices.Concat(allowed, inTests, []string{"internal/..."})
		never, _ := longest(table.never, from)

		for _, path := range p.Imports {
			if slices.ContainsFunc(never, func(pattern string) bool { return fits(pattern, path) }) {
				complaints = append(complaints, fmt.Sprintf("%s imports %s, which it may never", from, path))
			}
			complaints = append(complaints, checkArrow(from, path, "", allowed)...)
		}
		for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
			complaints = append(complaints, checkArrow(from, path, "a test of ", inTests)...)
		}
	}
	slices.Sort(complaints)
	return slices.Compact(complaints)
}

func checkArrow(from, importPath, who string, allowed []string) []string {
	to, ok := ours(importPath)
	if !ok || to == from || slices.ContainsFunc(allowed, func(pattern string) bool { return fits(pattern, to) }) {
		return nil
	}
	return []string{fmt.Sprintf("%s%s imports %s: no such arrow", who, from, to)}
}

// checkDocs returns a complaint per package whose doc comment is missing or does not begin as godoc asks.
func checkDocs(packages []listed) []string {
	var complaints []string
	for _, p := range packages {
		switch {
		case len(p.GoFiles) == 0: // a folder of tests has nobody to explain itself to
		case p.Doc == "":
			complaints = append(complaints, p.ImportPath+" has no doc comment")
		case p.Name != "main" && !strings.HasPrefix(p.Doc, "Package "+p.Name+" "):
			complaints = append(complaints, fmt.Sprintf("the doc of %s does not begin with \"Package %s\"", p.ImportPath, p.Name))
		}
	}
	return complaints
}
