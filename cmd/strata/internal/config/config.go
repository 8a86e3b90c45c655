package config

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/segment"
)

// Bounds of a segment, in bytes.
const (
	minSegmentSize = 1 << 20
	maxSegmentSize = 4 << 30
)

// maxLongPolling is the longest long poll that the broker answers.
const maxLongPolling = 20 * time.Second

// Config holds the settings of `strata server`.
type Config struct {
	DataDir string // absolute once loaded

	GRPCAddr      string // host:port
	GRPCAdvertise string // host:port that routes name; empty: the address that the client came by
	HTTPAddr      string // host:port

	ObjectStore    string        // URL; empty until loaded: a folder in the data folder
	SegmentSize    int64         // bytes after which a segment is sealed
	SealMaxAge     time.Duration // age after which a segment is sealed though it is not full; 0: never
	SealCodec      segment.Codec // how sealed records are compressed
	LocalRetention Retention     // how long, or how many bytes of, sealed segments stay local
	DiskMark       int64         // bytes of free disk below which sends are refused; autoDiskMark until loaded

	LongPolling      time.Duration // what clients are told in Settings
	MaxInFlight      int64         // bytes of send requests being served; more are refused
	AutoCreateGroups bool          // a consumer group comes into being on first use

	TLSCert string // PEM file; empty: self-signed, in the data folder
	TLSKey  string // PEM file

	LogFormat string // text or json
	LogLevel  string // debug, info, warn or error
	Pprof     bool   // serve /debug/pprof/ on the HTTP address

	AcceptCopiedData bool // lead shards though the data folder is a copy of the one that led them
}

// autoDiskMark stands for a disk mark that follows the segment size.
const autoDiskMark = -1

// Default is the starting point that all sources are applied to.
func Default() Config {
	return Config{
		DataDir:          "./strata-data",
		GRPCAddr:         "127.0.0.1:8081",
		HTTPAddr:         "127.0.0.1:8090",
		SegmentSize:      1 << 30,
		SealMaxAge:       6 * time.Hour,
		SealCodec:        segment.CodecZstd,
		LocalRetention:   Retention{Bytes: 4 << 30},
		DiskMark:         autoDiskMark,
		LongPolling:      maxLongPolling,
		MaxInFlight:      256 << 20,
		AutoCreateGroups: true,
		LogFormat:        "text",
		LogLevel:         "info",
	}
}

// resolve fills in the defaults that follow from other settings.
func (c *Config) resolve() error {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", c.DataDir, err)
	}
	c.DataDir = dir
	if c.ObjectStore == "" {
		c.ObjectStore = tiering.Location{Scheme: tiering.SchemeFile, Dir: filepath.Join(dir, "objects")}.String()
	}
	if c.DiskMark == autoDiskMark {
		c.DiskMark = 2*c.SegmentSize + 1<<30
	}
	return nil
}

// problem is what is wrong with one setting.
type problem struct {
	setting string // its flag name
	err     error
}

// problems returns everything that is wrong with c, in the order of the settings.
func (c *Config) problems() []problem {
	var out []problem
	wrong := func(setting string, err error) {
		if err != nil {
			out = append(out, problem{setting, err})
		}
	}
	if c.DataDir == "" {
		wrong("data-dir", errors.New("no folder given"))
	}
	wrong("grpc-addr", checkAddress(c.GRPCAddr))
	if c.GRPCAdvertise != "" {
		wrong("grpc-advertise", checkAdvertised(c.GRPCAdvertise))
	}
	wrong("http-addr", checkAddress(c.HTTPAddr))
	if _, err := tiering.ParseURL(c.ObjectStore); c.ObjectStore != "" && err != nil {
		wrong("object-store", err)
	}
	if c.SegmentSize < minSegmentSize || c.SegmentSize > maxSegmentSize {
		wrong("segment-size", fmt.Errorf("%s is outside 1MiB to 4GiB", FormatSize(c.SegmentSize)))
	}
	if c.SealMaxAge != 0 && c.SealMaxAge < time.Second {
		wrong("seal-max-age", fmt.Errorf("%s is shorter than 1s; 0 means never", c.SealMaxAge))
	}
	if c.LongPolling < time.Second || c.LongPolling > maxLongPolling {
		wrong("long-polling-timeout", fmt.Errorf("%s is outside 1s to 20s", FormatDuration(c.LongPolling)))
	}
	if c.MaxInFlight < 32<<20 {
		wrong("max-in-flight", fmt.Errorf("%s is less than 32MiB", FormatSize(c.MaxInFlight)))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong("tls-cert", errors.New("--tls-cert and --tls-key belong together: one is given without the other"))
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		wrong("log-format", fmt.Errorf("%q is neither text nor json", c.LogFormat))
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		wrong("log-level", fmt.Errorf("%q is none of debug, info, warn, error", c.LogLevel))
	}
	return out
}

func checkAddress(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is no host:port, such as 127.0.0.1:8081", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: port %q is no number from 0 to 65535", addr, port)
	}
	return nil
}

func checkAdvertised(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return fmt.Errorf("%q is no host:port that clients could connect to", addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q: port %q is no number from 1 to 65535", addr, port)
	}
	return nil
}
