// Package drivers opens the object store that a URL names.
//
// It is apart from the vocabulary so that whoever speaks of objects does not carry every driver.
package drivers

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/s3"
)

// Config holds the drivers' settings.
type Config struct {
	S3 s3.Config `yaml:"s3"`
}

// DefaultConfig is the starting point that files and flags are decoded onto.
func DefaultConfig() Config { return Config{S3: s3.DefaultConfig()} }

// Open opens the store at location.
func Open(ctx context.Context, location tiering.Location, config Config) (tiering.ObjectStore, error) {
	switch location.Scheme {
	case tiering.SchemeFile:
		return orError(file.Open(location.Dir))
	case tiering.SchemeS3:
		return orError(s3.Open(ctx, location, config.S3))
	default:
		return nil, fmt.Errorf("%w: no driver for %q", tiering.ErrInvalidURL, location.Scheme)
	}
}

// orError keeps a nil driver from becoming an interface that is not nil.
func orError[S tiering.ObjectStore](store S, err error) (tiering.ObjectStore, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}
