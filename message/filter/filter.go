// Package filter decides which messages of a topic a consumer wants.
//
// A filter is compiled once per request and asked twice: by the hash in the consumeQueue entry, which
// costs no body, and exactly, by the message's own tag.
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stratamq/stratamq/message"
)

// ErrInvalid says that a filter expression cannot be compiled.
var ErrInvalid = errors.New("invalid filter expression")

// MaxExpressionLen bounds a filter expression, in bytes.
const MaxExpressionLen = 4096

// Filter is a compiled TAG filter. The zero value takes every message.
type Filter struct {
	tags   []string // sorted; nil takes everything
	hashes []uint32 // of tags, sorted
}

// CompileTag compiles a TAG expression: "*" or nothing for every message, else tags joined by "||".
// It fails with [ErrInvalid].
func CompileTag(expression string) (Filter, error) {
	if len(expression) > MaxExpressionLen {
		return Filter{}, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(expression), MaxExpressionLen)
	}
	if expression == "" || expression == "*" {
		return Filter{}, nil
	}
	var f Filter
	for tag := range strings.SplitSeq(expression, "||") {
		if tag = strings.TrimSpace(tag); tag != "" {
			f.tags = append(f.tags, tag)
			f.hashes = append(f.hashes, message.TagHash(tag))
		}
	}
	if len(f.tags) == 0 {
		return Filter{}, fmt.Errorf("%w: %q names no tag", ErrInvalid, expression)
	}
	slices.Sort(f.tags)
	f.tags = slices.Compact(f.tags)
	slices.Sort(f.hashes)
	f.hashes = slices.Compact(f.hashes)
	return f, nil
}

// All reports whether the filter takes every message.
func (f Filter) All() bool { return f.tags == nil }

// MatchHash reports whether a message with this tag hash may match; false is certain.
func (f Filter) MatchHash(hash uint32) bool {
	if f.All() {
		return true
	}
	_, found := slices.BinarySearch(f.hashes, hash)
	return found
}

// MatchTag reports whether a message with this tag, "" for none, matches.
func (f Filter) MatchTag(tag string) bool {
	if f.All() {
		return true
	}
	_, found := slices.BinarySearch(f.tags, tag)
	return found
}

// String returns an expression that compiles to the same filter.
func (f Filter) String() string {
	if f.All() {
		return "*"
	}
	return strings.Join(f.tags, "||")
}
