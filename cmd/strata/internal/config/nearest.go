package config

import "fmt"

// unknown returns the error for a name that no setting has, with the nearest one that there is.
func unknown(kind, name string, spelled func(*Setting) string) error {
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		names = append(names, spelled(s))
	}
	return fmt.Errorf("unknown %s %q; did you mean %q?", kind, name, Nearest(name, names))
}

// Nearest returns the name of names that takes the fewest edits to become text, the first of several;
// names must not be empty.
func Nearest(text string, names []string) string {
	best, fewest := "", -1
	for _, name := range names {
		if n := edits(text, name); fewest < 0 || n < fewest {
			best, fewest = name, n
		}
	}
	return best
}

// edits counts the insertions, deletions and replacements of bytes that turn a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1) // of the table of prefixes, for the prefix of a that ends before i
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
