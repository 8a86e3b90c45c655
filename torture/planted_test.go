package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryPlantedBugIsInTheTable compares the table with the build tags that the source has.
func TestEveryPlantedBugIsInTheTable(t *testing.T) {
	tag := regexp.MustCompile(`(?m)^//go:build (bug_\w+)$`)
	var found []string
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := tag.FindSubmatch(text); m != nil {
			found = append(found, string(m[1]))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, bug := range plantedBugs {
		listed = append(listed, bug.tag)
	}
	slices.Sort(found)
	slices.Sort(listed)
	if !slices.Equal(slices.Compact(found), listed) {
		t.Errorf("the source has %v, the table %v", found, listed)
	}
}
