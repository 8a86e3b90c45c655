package config

import "testing"

// What is read is never negative, and what is printed of it reads as the same.
func FuzzUnits(f *testing.F) {
	for _, text := range []string{"1GiB", "512 MiB", "1.5KB", "7d12h", "20s", "7d,10GiB", "none", "-1", "1e9", "nan"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseSize(text); err == nil {
			if again, err := ParseSize(FormatSize(n)); n < 0 || err != nil || again != n {
				t.Errorf("size %q: %d, then %d, %v", text, n, again, err)
			}
		}
		if d, err := ParseDuration(text); err == nil {
			if again, err := ParseDuration(FormatDuration(d)); d < 0 || err != nil || again != d {
				t.Errorf("duration %q: %d, then %d, %v", text, d, again, err)
			}
		}
		if r, err := ParseRetention(text, None); err == nil {
			if again, err := ParseRetention(r.Text(None), None); err != nil || again != r {
				t.Errorf("retention %q: %+v, then %+v, %v", text, r, again, err)
			}
		}
	})
}
