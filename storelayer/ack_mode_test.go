package storelayer_test

import (
	"testing"

	"github.com/stratamq/stratamq/storelayer"
)

func FuzzParseAckMode(f *testing.F) {
	for _, text := range []string{"durable", "replicated", "local", "", "DURABLE"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := storelayer.ParseAckMode(text)
		if err == nil && m.String() != text {
			t.Errorf("%q parses as %s", text, m)
		}
	})
}
