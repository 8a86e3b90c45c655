package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1GiB": 1 << 30, "512 MiB": 512 << 20, "1.5KiB": 1536, "2gib": 2 << 30, "1GB": 1e9, "7B": 7, "1TiB": 1 << 40,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "-1GiB", "1GiBB", "nan", "inf", "9223372036854775808", "8388608TiB", "1e30", "0x10 KiBs"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "20s": 20 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * day, "1d12h": 36 * time.Hour, "250ms": 250 * time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "20", "-1s", "d", "1.5d", "1d-1h", "106752d", "106751d48h", "1d1d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestRetentions(t *testing.T) {
	for text, want := range map[string]Retention{
		"none": {}, "7d": {Age: 7 * day}, "10GiB": {Bytes: 10 << 30}, "1h, 1GiB": {Age: time.Hour, Bytes: 1 << 30}, "1GiB,1h": {Age: time.Hour, Bytes: 1 << 30},
	} {
		if got, err := ParseRetention(text, None); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "0s", "0GiB", "1h,2h", "1GiB,2GiB", "ever", "1h,"} {
		if got, err := ParseRetention(text, None); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

// What is printed can be given back.
func TestUnitsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "size")
		if got, err := ParseSize(FormatSize(n)); err != nil || got != n {
			t.Errorf("size %d → %q → %d, %v", n, FormatSize(n), got, err)
		}
		d := time.Duration(rapid.Int64Min(0).Draw(t, "duration"))
		if got, err := ParseDuration(FormatDuration(d)); err != nil || got != d {
			t.Errorf("duration %d → %q → %d, %v", d, FormatDuration(d), got, err)
		}
		r := Retention{Age: d, Bytes: n}
		if got, err := ParseRetention(r.Text(Ever), Ever); err != nil || got != r {
			t.Errorf("retention %+v → %q → %+v, %v", r, r.Text(Ever), got, err)
		}
	})
}
