package doctest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// repository is the root, seen from this folder, where `go test` runs.
const repository = "../.."

func TestReadmeTwins(t *testing.T) {
	english, chinese := parseMarkdown(read(t, "README.md")), parseMarkdown(read(t, "README.zh-CN.md"))
	if len(english.headings) < 5 || len(english.blocks) == 0 || len(english.tables) == 0 {
		t.Fatalf("the README has %d headings, %d code blocks, %d tables: nothing to compare",
			len(english.headings), len(english.blocks), len(english.tables))
	}
	complain(t, checkTwins(english, chinese))
}

func TestLinks(t *testing.T) {
	complaints, err := checkLinks(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	complain(t, complaints)
}

func TestSymbols(t *testing.T) {
	complaints, err := checkSymbols(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	complain(t, complaints)
}

func TestADRs(t *testing.T) {
	complaints, err := checkADRs(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	complain(t, complaints)
}

// markdownFiles parses every document of the repository, by path.
func markdownFiles(root fs.FS) (map[string]document, error) {
	documents := map[string]document{}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if entry.IsDir() {
			if base != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || base == "target") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		documents[name] = parseMarkdown(string(text))
		return err
	})
	return documents, err
}

// checkLinks returns a complaint per relative link that leads nowhere.
func checkLinks(root fs.FS) ([]string, error) {
	documents, err := markdownFiles(root)
	if err != nil {
		return nil, err
	}
	var complaints []string
	for name, d := range documents {
		for _, link := range d.links {
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(link, "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if _, err := fs.Stat(root, target); err != nil {
				complaints = append(complaints, fmt.Sprintf("%s links to %s, which is not there", name, link))
				continue
			}
			there := slices.ContainsFunc(documents[target].headings, func(h heading) bool { return anchor(h.title) == fragment })
			if fragment != "" && !there {
				complaints = append(complaints, fmt.Sprintf("%s links to %s, a heading that is not there", name, link))
			}
		}
	}
	slices.Sort(complaints)
	return complaints, nil
}

// checkSymbols returns a complaint per symbol that a document names and its package does not declare.
func checkSymbols(root fs.FS) ([]string, error) {
	documents, err := markdownFiles(root)
	if err != nil {
		return nil, err
	}
	var complaints []string
	declared := map[string]map[string]bool{}
	for name, d := range documents {
		for _, span := range d.symbols {
			parts := symbolPattern.FindStringSubmatch(span)
			folder, symbol := parts[1], parts[2]
			if parts[3] != "" {
				symbol += "." + parts[3]
			}
			if declared[folder] == nil {
				if declared[folder], err = declarations(root, folder); err != nil {
					return nil, err
				}
			}
			if !declared[folder][symbol] {
				complaints = append(complaints, fmt.Sprintf("%s names %s, which is not declared", name, span))
			}
		}
	}
	slices.Sort(complaints)
	return complaints, nil
}

// declarations returns the exported names of the package in folder, methods and fields as Type.Name.
func declarations(root fs.FS, folder string) (map[string]bool, error) {
	names := map[string]bool{}
	files, err := fs.Glob(root, folder+"/*.go")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = true
				} else {
					names[typeName(d.Recv.List[0].Type)+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					declareSpec(names, spec)
				}
			}
		}
	}
	return names, nil
}

func declareSpec(names map[string]bool, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, ident := range s.Names {
			names[ident.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		var members *ast.FieldList
		switch t := s.Type.(type) {
		case *ast.StructType:
			members = t.Fields
		case *ast.InterfaceType:
			members = t.Methods
		default:
			return
		}
		for _, member := range members.List {
			for _, ident := range member.Names {
				names[s.Name.Name+"."+ident.Name] = true
			}
		}
	}
}

func typeName(expr ast.Expr) string {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.IndexExpr:
		return typeName(t.X)
	case *ast.IndexListExpr:
		return typeName(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

var (
	adrName     = regexp.MustCompile(`^[0-9]{4}-[a-z0-9]+(-[a-z0-9]+)*\.md$`)
	adrSections = []string{"Status", "Context", "Decision", "Consequences", "Rejected alternatives"}
)

// checkADRs returns a complaint per decision record that is misnamed or lacks a section.
func checkADRs(root fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(root, "docs/adr")
	if err != nil {
		return nil, err
	}
	var complaints []string
	numbers := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		if !adrName.MatchString(name) {
			complaints = append(complaints, name+" is not called NNNN-title.md")
			continue
		}
		if numbers[name[:4]] {
			complaints = append(complaints, name+" has the number of another")
		}
		numbers[name[:4]] = true
		text, err := fs.ReadFile(root, "docs/adr/"+name)
		if err != nil {
			return nil, err
		}
		var sections []string
		for _, h := range parseMarkdown(string(text)).headings {
			if h.level == 2 {
				sections = append(sections, h.title)
			}
		}
		if !slices.Equal(sections, adrSections) {
			complaints = append(complaints, fmt.Sprintf("%s has the sections %q, not %q", name, sections, adrSections))
		}
	}
	return complaints, nil
}

// TestChecksCanFail feeds every check what it is there to refuse.
func TestChecksCanFail(t *testing.T) {
	const text = "# A\n## B\n```\n# no heading | [no](link)\n```\n| a | b |\n|---|---|\n| `x|y` | 2 |\n"
	for _, c := range []struct{ name, other, want string }{
		{"same", strings.ReplaceAll(strings.ReplaceAll(text, "# A", "# 甲"), "| 2", "| 二"), ""},
		{"heading missing", strings.Replace(text, "## B\n", "", 1), "2 headings and 1"},
		{"other level", strings.Replace(text, "## B", "### B", 1), "has level 2"},
		{"other code", strings.Replace(text, "no heading", "heading", 1), "code block 1 differs"},
		{"no code", strings.ReplaceAll(text, "```", ""), "1 code blocks and 0"},
		{"row missing", strings.Replace(text, "| `x|y` | 2 |\n", "", 1), "table 1 is"},
		{"column missing", strings.Replace(text, "| a | b |", "| a |", 1), "table 1 is"},
		{"table missing", text[:strings.Index(text, "| a |")], "1 tables and 0"},
	} {
		want(t, "twins: "+c.name, checkTwins(parseMarkdown(text), parseMarkdown(c.other)), c.want)
	}

	tree := func(text string) fs.FS {
		return fstest.MapFS{
			"a.md":   {Data: []byte(text)},
			"b/c.md": {Data: []byte("# The 章 of, it")},
			"p/p.go": {Data: []byte("package p\ntype T struct{ F int }\nfunc (*T) M() {}\nconst C = 1\nfunc F() {}")},
		}
	}
	for _, c := range []struct{ text, want string }{
		{"[x](b/c.md) [y](b/c.md#the-章-of-it) [z](https://example.org/none) `[q](none)`", ""},
		{"[x](b/d.md)", "not there"},
		{"[x](b/c.md#chapter)", "a heading that is not there"},
		{"[x](#none)", "a heading that is not there"},
	} {
		got, err := checkLinks(tree(c.text))
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.text, got, c.want)
	}
	for _, c := range []struct{ text, want string }{
		{"`p.T` `p.T.M` `p.T.F` `p.C` `p.F` `p.go` `p` `v1.2`", ""},
		{"`p.X`", "names `p.X`"},
		{"`p.T.X`", "names `p.T.X`"},
		{"`q.X`", "names `q.X`"},
	} {
		got, err := checkSymbols(tree(c.text))
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.text, got, c.want)
	}
	good := "# 1\n## Status\n## Context\n## Decision\n## Consequences\n## Rejected alternatives\n"
	for _, c := range []struct{ text, want string }{
		{good, ""},
		{strings.Replace(good, "## Context\n", "", 1), "has the sections"},
	} {
		got, err := checkADRs(fstest.MapFS{"docs/adr/0001-x.md": {Data: []byte(c.text)}})
		if err != nil {
			t.Fatal(err)
		}
		want(t, c.text, got, c.want)
	}
	got, err := checkADRs(fstest.MapFS{"docs/adr/1-Title.md": {}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, "name of an ADR", got, "is not called")
}

// want asks for a complaint that contains part, or for none if part is empty.
func want(t *testing.T, name string, got []string, part string) {
	t.Helper()
	switch {
	case part == "" && len(got) > 0:
		t.Errorf("%s: complains without a reason: %q", name, got)
	case part != "" && !slices.ContainsFunc(got, func(complaint string) bool { return strings.Contains(complaint, part) }):
		t.Errorf("%s: complaints %q, want one that contains %q", name, got, part)
	}
}

func complain(t *testing.T, complaints []string) {
	t.Helper()
	for _, complaint := range complaints {
		t.Error(complaint)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(repository + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
