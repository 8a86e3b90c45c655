package filter_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
)

func TestCompileTag(t *testing.T) {
	tests := []struct {
		expression string
		matches    string // tags, joined by spaces; "-" is a message without a tag
		misses     string
		text       string
	}{
		{"", "- a b", "", "*"},
		{"*", "- a b", "", "*"},
		{"a", "a", "- b A aa", "a"},
		{"b || a", "a b", "- c ab", "a||b"},
		{" a ||  || a ", "a", "-", "a"},
		{"订单", "订单", "- 订", "订单"},
		{"Aa", "Aa", "BB", "Aa"}, // Java's hashes of Aa and BB are equal
	}
	for _, test := range tests {
		f, err := filter.CompileTag(test.expression)
		if err != nil {
			t.Errorf("CompileTag(%q): %v", test.expression, err)
			continue
		}
		if f.String() != test.text {
			t.Errorf("CompileTag(%q).String() = %q, want %q", test.expression, f.String(), test.text)
		}
		for tag := range strings.FieldsSeq(test.matches) {
			tag = strings.TrimPrefix(tag, "-")
			if !f.MatchTag(tag) || !f.MatchHash(message.TagHash(tag)) {
				t.Errorf("CompileTag(%q) misses tag %q", test.expression, tag)
			}
		}
		for tag := range strings.FieldsSeq(test.misses) {
			tag = strings.TrimPrefix(tag, "-")
			if f.MatchTag(tag) {
				t.Errorf("CompileTag(%q) takes tag %q", test.expression, tag)
			}
		}
	}
}

func TestCompileTagRefuses(t *testing.T) {
	for _, expression := range []string{"||", " ", " || || ", strings.Repeat("a", filter.MaxExpressionLen+1)} {
		if _, err := filter.CompileTag(expression); !errors.Is(err, filter.ErrInvalid) {
			t.Errorf("CompileTag(%.20q) = %v, want ErrInvalid", expression, err)
		}
	}
}
