package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxLines bounds a file that a person wrote; at 300 it is time to ask whether it is two concepts.
const maxLines = 800

// decoderName is how a function is called that turns bytes from outside into something of ours.
var decoderName = regexp.MustCompile(`^(Decode|Parse|Unmarshal|Scan|Read[A-Za-z0-9]*From)`)

// source is one parsed Go file.
type source struct {
	path  string // slashes, below the root of the repository
	lines int
	file  *ast.File
	fset  *token.FileSet
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// parseTree parses every Go file below root that a person wrote, in every module.
func parseTree(root fs.FS) ([]source, error) {
	fset := token.NewFileSet()
	var sources []source
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := path.Base(name)
			if base != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			lines := strings.Count(string(text), "\n")
			sources = append(sources, source{path: name, lines: lines, file: file, fset: fset})
		}
		return nil
	})
	return sources, err
}

// checkLength returns a complaint per file that is longer than maxLines.
func checkLength(sources []source) []string {
	var complaints []string
	for _, s := range sources {
		if s.lines > maxLines {
			complaints = append(complaints, fmt.Sprintf("%s has %d lines, more than %d: it is two concepts", s.path, s.lines, maxLines))
		}
	}
	return complaints
}

// checkSleep returns a complaint per call of time.Sleep in a test. Inside synctest.Test sleeping is how
// the fake clock is moved, so it is allowed there.
func checkSleep(sources []source) []string {
	var complaints []string
	for _, s := range sources {
		if !s.isTest() {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch {
			case isSelector(call.Fun, "synctest", "Test"):
				return false
			case isSelector(call.Fun, "time", "Sleep"):
				complaints = append(complaints, s.fset.Position(call.Pos()).String()+": a test sleeps; wait for the thing itself")
			}
			return true
		})
	}
	return complaints
}

func isSelector(expr ast.Expr, pkg, name string) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != name {
		return false
	}
	ident, ok := selector.X.(*ast.Ident)
	return ok && ident.Name == pkg
}

// checkFuzz returns a complaint per exported decoder that no fuzz target of its folder reaches, be it
// through helpers of the same tests.
func checkFuzz(sources []source) []string {
	decoders := map[string][]string{} // folder → names
	tests := map[string]map[string][]string{}
	for _, s := range sources {
		folder := path.Dir(s.path)
		if s.isTest() {
			if tests[folder] == nil {
				tests[folder] = map[string][]string{}
			}
			maps.Copy(tests[folder], mentions(s.file))
			continue
		}
		for _, declaration := range s.file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && isDecoder(function) {
				decoders[folder] = append(decoders[folder], function.Name.Name)
			}
		}
	}

	var complaints []string
	for folder, names := range decoders {
		reached := reachedByFuzz(tests[folder])
		for _, name := range names {
			if !reached[name] {
				complaints = append(complaints, fmt.Sprintf("%s: %s decodes bytes, and no fuzz target calls it", folder, name))
			}
		}
	}
	slices.Sort(complaints)
	return complaints
}

// isDecoder says whether a function is exported, also through its receiver, is named like a decoder and
// takes bytes or text first.
func isDecoder(function *ast.FuncDecl) bool {
	if !function.Name.IsExported() || !decoderName.MatchString(function.Name.Name) {
		return false
	}
	if function.Recv != nil && !receiverExported(function.Recv.List[0].Type) {
		return false
	}
	params := function.Type.Params.List
	if len(params) == 0 {
		return false
	}
	switch first := params[0].Type.(type) {
	case *ast.Ident:
		return first.Name == "string"
	case *ast.ArrayType:
		element, ok := first.Elt.(*ast.Ident)
		return ok && first.Len == nil && element.Name == "byte"
	}
	return false
}

func receiverExported(expr ast.Expr) bool {
	switch t := expr.(type) {
	case *ast.StarExpr:
		return receiverExported(t.X)
	case *ast.IndexExpr:
		return receiverExported(t.X)
	case *ast.IndexListExpr:
		return receiverExported(t.X)
	case *ast.Ident:
		return t.IsExported()
	}
	return false
}

// mentions returns, per function of a test file, every name that it uses.
func mentions(file *ast.File) map[string][]string {
	uses := map[string][]string{}
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Body == nil {
			continue
		}
		ast.Inspect(function.Body, func(node ast.Node) bool {
			if ident, ok := node.(*ast.Ident); ok {
				uses[function.Name.Name] = append(uses[function.Name.Name], ident.Name)
			}
			return true
		})
	}
	return uses
}

func reachedByFuzz(uses map[string][]string) map[string]bool {
	reached := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if reached[name] {
			return
		}
		reached[name] = true
		for _, used := range uses[name] {
			visit(used)
		}
	}
	for name := range uses {
		if strings.HasPrefix(name, "Fuzz") {
			visit(name)
		}
	}
	return reached
}

// checkOutside holds the programs that go list does not show, because their module is outside of go.work
// or their build tags are off here, to the table of arrows as well.
func checkOutside(table arrows, sources []source, inWorkspace []listed) []string {
	seen := map[string]bool{}
	for _, p := range inWorkspace {
		if folder, ok := ours(p.ImportPath); ok {
			seen[folder] = true
		}
	}
	packages := map[string]*listed{}
	for _, s := range sources {
		folder := path.Dir(s.path)
		if seen[folder] {
			continue
		}
		if packages[folder] == nil {
			packages[folder] = &listed{ImportPath: strings.TrimSuffix(modulePath+"/"+folder, "/.")}
		}
		for _, spec := range s.file.Imports {
			target := strings.Trim(spec.Path.Value, `"`)
			if s.isTest() {
				packages[folder].TestImports = append(packages[folder].TestImports, target)
			} else {
				packages[folder].Imports = append(packages[folder].Imports, target)
			}
		}
	}
	var complaints []string
	for _, folder := range slices.Sorted(maps.Keys(packages)) {
		complaints = append(complaints, checkArrows(table, []listed{*packages[folder]})...)
	}
	return complaints
}
