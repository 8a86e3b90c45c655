package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sizeUnits are the units of sizes, the largest of each kind first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseSize reads a size in bytes: "1GiB", "512 MiB", "1.5GB", "4096".
func ParseSize(text string) (int64, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && n <= math.MaxInt64/unit {
		return n * unit, nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size; write a number and KiB, MiB, GiB or TiB, such as 512MiB", text)
	}
	return int64(f * float64(unit)), nil
}

// FormatSize is the inverse of ParseSize: the largest unit that divides the size.
func FormatSize(n int64) string {
	for _, u := range sizeUnits[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

const day = 24 * time.Hour

// ParseDuration reads a duration as Go writes it, and besides that days: "20s", "1h30m", "7d", "1d12h".
func ParseDuration(text string) (time.Duration, error) {
	fail := fmt.Errorf("%q is no duration; write a number and ms, s, m, h or d, such as 90s or 7d", text)
	rest := strings.TrimSpace(text)
	var days time.Duration
	if number, behind, found := strings.Cut(rest, "d"); found {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > int64(math.MaxInt64/day) {
			return 0, fail
		}
		if days, rest = time.Duration(n)*day, behind; rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || days+d < 0 {
		return 0, fail
	}
	return days + d, nil
}

// FormatDuration is the inverse of ParseDuration, without units that are zero.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	if days := d / day; days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		d -= days * day
	}
	if d > 0 {
		text := d.String()
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		b.WriteString(text)
	}
	return b.String()
}

// Retention says how much of something is kept: an age, a size, or both, whichever ends first. What it
// means that neither is given has another word where it is a topic's messages, [Ever], than where it is
// local segments, [None].
type Retention struct {
	Age   time.Duration // 0: not by age
	Bytes int64         // 0: not by size
}

// The words for a retention without age and size.
const (
	Ever = "ever" // everything is kept
	None = "none" // nothing is kept
)

// ParseRetention reads "7d", "10GiB", "7d,10GiB", or the word for neither.
func ParseRetention(text, neither string) (Retention, error) {
	var r Retention
	if text == neither {
		return r, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		age, ageErr := ParseDuration(part)
		size, sizeErr := ParseSize(part)
		switch {
		case ageErr == nil && r.Age == 0 && age > 0:
			r.Age = age
		// A bare number could be either; only with a unit is it clear what it means.
		case sizeErr == nil && r.Bytes == 0 && size > 0 && strings.ContainsAny(part, "bB"):
			r.Bytes = size
		default:
			return Retention{}, fmt.Errorf("%q is no retention; write an age such as 7d, a size such as 10GiB, both as 7d,10GiB, or %s", text, neither)
		}
	}
	return r, nil
}

// Text is the inverse of ParseRetention.
func (r Retention) Text(neither string) string {
	var parts []string
	if r.Age > 0 {
		parts = append(parts, FormatDuration(r.Age))
	}
	if r.Bytes > 0 {
		parts = append(parts, FormatSize(r.Bytes))
	}
	if len(parts) == 0 {
		return neither
	}
	return strings.Join(parts, ",")
}
