package cli

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
)

// showTime prints a time in the zone of the machine, to the millisecond.
func showTime(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05.000")
}

// parseTime reads a point in time: RFC 3339, a date with or without a time in the zone of the machine, or
// a duration before now.
func parseTime(text string, now time.Time) (*timestamppb.Timestamp, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return timestamppb.New(t), nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return timestamppb.New(t), nil
		}
	}
	if d, err := config.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
		return timestamppb.New(now.Add(-d)), nil
	}
	return nil, usage("%q is no time; write 2026-01-02T03:04:05Z, '2026-01-02 03:04', or 90m for 90 minutes ago", text)
}
