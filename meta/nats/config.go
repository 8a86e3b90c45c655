package nats

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// EmbeddedConfig holds the settings of a server inside this process.
type EmbeddedConfig struct {
	Dir   string `yaml:"dir"`   // folder of its files; locked by the caller
	Quota int64  `yaml:"quota"` // bytes that all buckets together may take on disk

	RequestTimeout time.Duration `yaml:"request_timeout"` // bound of a call whose context has no deadline
}

// DefaultEmbeddedConfig is the starting point that files and flags are decoded onto.
func DefaultEmbeddedConfig() EmbeddedConfig {
	return EmbeddedConfig{Quota: 8 << 30, RequestTimeout: 5 * time.Second}
}

// Validate reports everything that is wrong with c, in field order.
func (c EmbeddedConfig) Validate() error {
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir: no folder given"))
	}
	if c.Quota < 16<<20 {
		errs = append(errs, fmt.Errorf("quota: %d is below 16 MiB", c.Quota))
	}
	return errors.Join(append(errs, validateTimeout(c.RequestTimeout))...)
}

// RemoteConfig holds the settings of a connection to servers outside.
type RemoteConfig struct {
	URLs            []string `yaml:"urls"`             // nats://host:port or tls://host:port
	CredentialsFile string   `yaml:"credentials_file"` // user JWT and seed
	User            string   `yaml:"user"`
	Password        string   `yaml:"password"`
	Token           string   `yaml:"token"`
	CAFile          string   `yaml:"ca_file"`   // root certificates; empty: those of the system
	CertFile        string   `yaml:"cert_file"` // client certificate, with KeyFile
	KeyFile         string   `yaml:"key_file"`
	Replicas        int      `yaml:"replicas"`    // copies of each bucket that this process creates: 1, 3 or 5
	BucketSize      int64    `yaml:"bucket_size"` // bytes that one bucket may take; -1 for no bound

	RequestTimeout time.Duration `yaml:"request_timeout"` // bound of a call whose context has no deadline
}

// DefaultRemoteConfig is the starting point that files and flags are decoded onto.
func DefaultRemoteConfig() RemoteConfig {
	return RemoteConfig{Replicas: 3, BucketSize: -1, RequestTimeout: 5 * time.Second}
}

// Validate reports everything that is wrong with c, in field order.
func (c RemoteConfig) Validate() error {
	var errs []error
	if len(c.URLs) == 0 {
		errs = append(errs, errors.New("urls: no server given"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("cert_file, key_file: one without the other"))
	}
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		errs = append(errs, fmt.Errorf("replicas: %d is not 1, 3 or 5", c.Replicas))
	}
	if c.BucketSize != -1 && c.BucketSize < 16<<20 {
		errs = append(errs, fmt.Errorf("bucket_size: %d is below 16 MiB", c.BucketSize))
	}
	return errors.Join(append(errs, validateTimeout(c.RequestTimeout))...)
}

func validateTimeout(d time.Duration) error {
	if d <= 0 || d > time.Minute {
		return fmt.Errorf("request_timeout: %s is outside 1ns to 1m", d)
	}
	return nil
}

// serverOptions says how the embedded server runs.
func serverOptions(c EmbeddedConfig) *server.Options {
	return &server.Options{
		ServerName: "strata-meta",

		// Connections come through memory only.
		DontListen: true,
		Port:       -1,

		JetStream:          true,
		StoreDir:           c.Dir,
		JetStreamMaxStore:  c.Quota,
		JetStreamMaxMemory: 16 << 20, // no bucket lives in memory
		SyncAlways:         true,
		NoJetStreamStrict:  false,

		// The process has its own signal handling and its own log.
		NoSigs:                 true,
		DisableJetStreamBanner: true,

		MaxPayload:       1 << 20, // above meta.MaxValueLen with its headers
		MaxClosedClients: 8,       // kept for monitoring, which nobody reads
		NoSublistCache:   true,
	}
}
