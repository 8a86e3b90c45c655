package s3

import (
	"errors"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/tiering"
)

// Config holds what a URL does not: credentials and patience.
type Config struct {
	// AccessKeyID and SecretAccessKey are used if they are set; else the environment, the shared
	// credentials file and the instance's role are asked, in the order of the AWS SDK.
	AccessKeyID     string         `yaml:"access_key_id"`
	SecretAccessKey tiering.Secret `yaml:"secret_access_key"`
	SessionToken    tiering.Secret `yaml:"session_token"`

	Attempts       int           `yaml:"attempts"`        // of one call, the first one included
	AttemptTimeout time.Duration `yaml:"attempt_timeout"` // of one attempt, plus a second per MinRate bytes
	MinRate        int64         `yaml:"min_rate"`        // bytes per second below which a transfer counts as hanging
	BaseDelay      time.Duration `yaml:"base_delay"`      // before the second attempt at most; doubled for each further one
	MaxDelay       time.Duration `yaml:"max_delay"`       // before any attempt
}

// DefaultConfig waits about 20 s for a server that answers errors, before it gives up.
func DefaultConfig() Config {
	return Config{
		Attempts:       7,
		AttemptTimeout: 15 * time.Second,
		MinRate:        1 << 20,
		BaseDelay:      200 * time.Millisecond,
		MaxDelay:       8 * time.Second,
	}
}

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		errs = append(errs, errors.New("access_key_id and secret_access_key: one is set without the other"))
	}
	if c.Attempts < 1 || c.Attempts > 100 {
		errs = append(errs, fmt.Errorf("attempts: %d is outside 1 to 100", c.Attempts))
	}
	if c.AttemptTimeout <= 0 {
		errs = append(errs, fmt.Errorf("attempt_timeout: %v is not above 0", c.AttemptTimeout))
	}
	if c.MinRate < 1 {
		errs = append(errs, fmt.Errorf("min_rate: %d is not above 0", c.MinRate))
	}
	if c.BaseDelay < 0 || c.MaxDelay < c.BaseDelay {
		errs = append(errs, fmt.Errorf("base_delay, max_delay: %v and %v are negative or in the wrong order", c.BaseDelay, c.MaxDelay))
	}
	return errors.Join(errs...)
}
