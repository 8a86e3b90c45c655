package meta

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultMaxAttempts is the first delivery and RocketMQ's 16 retries.
const DefaultMaxAttempts = 17

// ConsumeFrom says where a group starts in a queue that it has not consumed yet.
type ConsumeFrom string

// The starts.
const (
	FromAuto      ConsumeFrom = "auto"      // the beginning if the oldest message is younger than 72 h, else the end
	FromFirst     ConsumeFrom = "first"     // the oldest message
	FromLast      ConsumeFrom = "last"      // the end
	FromTimestamp ConsumeFrom = "timestamp" // the first message at or after FromTime
)

// Group is the value of a consumer group's name in [BucketGroups].
type Group struct {
	Name        string          `json:"name"`
	Generation  uint64          `json:"generation"`   // from 1; one more when a deleted group of this name begins anew
	MaxAttempts int             `json:"max_attempts"` // deliveries before a message is dead-lettered
	Backoff     []time.Duration `json:"backoff"`      // nanoseconds before delivery 2, 3, …; the last one repeats
	From        ConsumeFrom     `json:"from"`
	FromTime    time.Time       `json:"from_time,omitzero"` // for FromTimestamp
	Created     time.Time       `json:"created"`
	Version     uint64          `json:"version"`          // from 1, one more per change
	Deleted     time.Time       `json:"deleted,omitzero"` // when the group was deleted; zero while it lives
}

// DefaultBackoff returns RocketMQ's delays: 1s 5s 10s 30s, 1 to 10 minutes, 20m 30m 1h 2h.
func DefaultBackoff() []time.Duration {
	out := []time.Duration{time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second}
	for m := range 10 {
		out = append(out, time.Duration(m+1)*time.Minute)
	}
	return append(out, 20*time.Minute, 30*time.Minute, time.Hour, 2*time.Hour)
}

// DefaultGroup returns the group that a first use creates.
func DefaultGroup(name string, now time.Time) Group {
	return Group{
		Name:        name,
		Generation:  1,
		MaxAttempts: DefaultMaxAttempts,
		Backoff:     DefaultBackoff(),
		From:        FromAuto,
		Created:     now.UTC(),
		Version:     1,
	}
}

// Delay returns how long a message waits after its attempt-th delivery failed, attempt from 1.
func (g Group) Delay(attempt int) time.Duration {
	if len(g.Backoff) == 0 {
		return 0
	}
	return g.Backoff[min(max(attempt, 1), len(g.Backoff))-1]
}

// Live reports whether g is a group and not a tombstone.
func (g Group) Live() bool { return g.Name != "" && g.Deleted.IsZero() }

// Validate reports everything that is wrong with g, in field order, as [ErrInvalid].
func (g Group) Validate() error {
	var errs []error
	if g.Name == "" || len(g.Name) > 2*MaxTopicNameLen {
		errs = append(errs, fmt.Errorf("%w: group name of %d bytes", ErrInvalid, len(g.Name)))
	}
	if g.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("%w: %d attempts", ErrInvalid, g.MaxAttempts))
	}
	for _, d := range g.Backoff {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%w: negative delay %s", ErrInvalid, d))
		}
	}
	switch g.From {
	case FromAuto, FromFirst, FromLast, FromTimestamp:
	default:
		errs = append(errs, fmt.Errorf("%w: consume from %q", ErrInvalid, string(g.From)))
	}
	return errors.Join(errs...)
}

// Clone returns a group that shares no memory with g.
func (g Group) Clone() Group {
	g.Backoff = slices.Clone(g.Backoff)
	return g
}
