package objecttest_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stratamq/stratamq/internal/s3server"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/objecttest"
)

func openFile(t *testing.T) tiering.ObjectStore {
	store, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// TestDrivers runs the contract over every driver, and fails if one did not take part.
func TestDrivers(t *testing.T) {
	server := s3server.New(t)
	var buckets atomic.Int64
	openS3 := func(prefix string) func(t *testing.T) tiering.ObjectStore {
		return func(t *testing.T) tiering.ObjectStore {
			return server.Open(t, fmt.Sprintf("bucket-%d", buckets.Add(1)), prefix)
		}
	}
	ran := map[string]bool{}
	for _, driver := range []struct {
		name   string
		scheme string
		open   func(t *testing.T) tiering.ObjectStore
	}{
		{"file", tiering.SchemeFile, openFile},
		{"s3", tiering.SchemeS3, openS3("")},
		{"s3 with prefix", tiering.SchemeS3, openS3("some/where")},
	} {
		t.Run(driver.name, func(t *testing.T) {
			objecttest.Run(t, driver.open)
			ran[driver.scheme] = true
		})
	}
	for _, scheme := range tiering.Schemes() {
		if !ran[scheme] {
			t.Errorf("driver %s did not run the conformance", scheme)
		}
	}
	t.Logf("drivers that ran the conformance: %v", ran)
}
