package proxy

import (
	"errors"
	"fmt"
	"time"
)

// Config holds what a proxy can be told: plain values. Directory, shards, history and logger are
// parameters of New.
type Config struct {
	AutoCreateGroups bool          `yaml:"auto_create_groups"` // a consumer group comes into being on first use
	SessionExpiry    time.Duration `yaml:"session_expiry"`     // without a heartbeat for so long a client is forgotten
	MaxSessions      int           `yaml:"max_sessions"`       // clients remembered; the ones beyond are served with defaults
	MetricTopics     int           `yaml:"metric_topics"`      // topics and (topic, group) pairs with series of their own, each
}

// DefaultConfig is the starting point that files and flags are decoded onto.
func DefaultConfig() Config {
	return Config{
		AutoCreateGroups: true,
		SessionExpiry:    120 * time.Second,
		MaxSessions:      100_000,
		MetricTopics:     1_000,
	}
}

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if c.SessionExpiry < 30*time.Second {
		errs = append(errs, fmt.Errorf("session_expiry: %s is shorter than 30s, the slowest client's heartbeat", c.SessionExpiry))
	}
	if c.MaxSessions < 1 {
		errs = append(errs, fmt.Errorf("max_sessions: %d, want at least 1", c.MaxSessions))
	}
	if c.MetricTopics < 1 {
		errs = append(errs, fmt.Errorf("metric_topics: %d, want at least 1", c.MetricTopics))
	}
	return errors.Join(errs...)
}
