package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stratamq/stratamq/tiering/segment"
)

// EnvPrefix begins the variables that carry settings.
const EnvPrefix = "STRATA_"

// Setting is one thing that can be set.
type Setting struct {
	Name        string // of the flag, without the dashes
	Placeholder string // what a value is, for help: "SIZE", "DURATION", …; empty for a switch
	Usage       string // one sentence, without a full stop

	parse  func(c *Config, text string) error
	format func(c *Config) string
}

// Key returns the setting's name in a configuration file.
func (s *Setting) Key() string { return strings.ReplaceAll(s.Name, "-", "_") }

// Env returns the variable that carries the setting.
func (s *Setting) Env() string { return EnvPrefix + strings.ToUpper(s.Key()) }

// Default returns the default as text. What follows from other settings says so in words.
func (s *Setting) Default() string {
	switch s.Name {
	case "object-store":
		return "the folder objects in the data folder"
	case "disk-mark":
		return "two segments and 1GiB"
	case "tls-cert", "tls-key":
		return "self-signed, made on first start"
	case "grpc-advertise":
		return "the address that a client came by"
	}
	c := Default()
	return s.format(&c)
}

func text(field func(*Config) *string) (func(*Config, string) error, func(*Config) string) {
	return func(c *Config, text string) error { *field(c) = text; return nil },
		func(c *Config) string { return *field(c) }
}

func size(field func(*Config) *int64) (func(*Config, string) error, func(*Config) string) {
	return func(c *Config, text string) (err error) { *field(c), err = ParseSize(text); return err },
		func(c *Config) string { return FormatSize(*field(c)) }
}

func duration(field func(*Config) *time.Duration) (func(*Config, string) error, func(*Config) string) {
	return func(c *Config, text string) (err error) { *field(c), err = ParseDuration(text); return err },
		func(c *Config) string { return FormatDuration(*field(c)) }
}

func boolean(field func(*Config) *bool) (func(*Config, string) error, func(*Config) string) {
	return func(c *Config, text string) error {
			b, err := strconv.ParseBool(text)
			if err != nil {
				return fmt.Errorf("%q is neither true nor false", text)
			}
			*field(c) = b
			return nil
		},
		func(c *Config) string { return strconv.FormatBool(*field(c)) }
}

func setting(name, placeholder, usage string, parse func(*Config, string) error, format func(*Config) string) *Setting {
	return &Setting{Name: name, Placeholder: placeholder, Usage: usage, parse: parse, format: format}
}

func textSetting(name, placeholder, usage string, field func(*Config) *string) *Setting {
	parse, format := text(field)
	return setting(name, placeholder, usage, parse, format)
}

func sizeSetting(name, usage string, field func(*Config) *int64) *Setting {
	parse, format := size(field)
	return setting(name, "SIZE", usage, parse, format)
}

func durationSetting(name, usage string, field func(*Config) *time.Duration) *Setting {
	parse, format := duration(field)
	return setting(name, "DURATION", usage, parse, format)
}

func boolSetting(name, usage string, field func(*Config) *bool) *Setting {
	parse, format := boolean(field)
	return setting(name, "", usage, parse, format)
}

var settings = []*Setting{
	textSetting("data-dir", "DIR", "folder of everything that the broker keeps", func(c *Config) *string { return &c.DataDir }),
	textSetting("grpc-addr", "ADDR", "where RocketMQ 5 clients connect, over TLS or plaintext; port 0 takes a free one", func(c *Config) *string { return &c.GRPCAddr }),
	textSetting("grpc-advertise", "ADDR", "host:port that clients are told to connect to", func(c *Config) *string { return &c.GRPCAdvertise }),
	textSetting("http-addr", "ADDR", "where the admin API, metrics and health are served; port 0 takes a free one", func(c *Config) *string { return &c.HTTPAddr }),
	textSetting("object-store", "URL", "where sealed segments go: file:///folder or s3://bucket/prefix?endpoint=…&region=…", func(c *Config) *string { return &c.ObjectStore }),
	sizeSetting("segment-size", "bytes of the log after which a segment is sealed, 1MiB to 4GiB", func(c *Config) *int64 { return &c.SegmentSize }),
	durationSetting("seal-max-age", "age after which a segment is sealed though it is not full; 0 for never", func(c *Config) *time.Duration { return &c.SealMaxAge }),
	setting("seal-codec", "CODEC", "how sealed records are compressed: zstd, s2 or none",
		func(c *Config, text string) (err error) { c.SealCodec, err = segment.ParseCodec(text); return err },
		func(c *Config) string { return c.SealCodec.String() }),
	setting("local-retention", "RETENTION", "how long, or how many bytes of, sealed segments stay on the local disk as well: 1h, 10GiB, both as 1h,10GiB, or none",
		func(c *Config, text string) (err error) {
			c.LocalRetention, err = ParseRetention(text, None)
			return err
		},
		func(c *Config) string { return c.LocalRetention.Text(None) }),
	sizeSetting("disk-mark", "free disk space below which sends are refused", func(c *Config) *int64 { return &c.DiskMark }),
	durationSetting("long-polling-timeout", "how long clients are told that a poll may wait for a message, 1s to 20s", func(c *Config) *time.Duration { return &c.LongPolling }),
	sizeSetting("max-in-flight", "bytes of send requests served at a time; what comes beyond is answered with 42900", func(c *Config) *int64 { return &c.MaxInFlight }),
	boolSetting("auto-create-groups", "a consumer group comes into being on first use", func(c *Config) *bool { return &c.AutoCreateGroups }),
	textSetting("tls-cert", "FILE", "certificate chain in PEM, read again when it changes", func(c *Config) *string { return &c.TLSCert }),
	textSetting("tls-key", "FILE", "key of the certificate in PEM", func(c *Config) *string { return &c.TLSKey }),
	textSetting("log-format", "FORMAT", "text or json", func(c *Config) *string { return &c.LogFormat }),
	textSetting("log-level", "LEVEL", "debug, info, warn or error", func(c *Config) *string { return &c.LogLevel }),
	boolSetting("pprof", "serve profiles under /debug/pprof/ on the HTTP address", func(c *Config) *bool { return &c.Pprof }),
	boolSetting("accept-copied-data", "start although the data folder is a copy; the original must never run again", func(c *Config) *bool { return &c.AcceptCopiedData }),
}

// Settings returns all settings, in the order in which they are documented. The caller must not change them.
func Settings() []*Setting { return settings }

func settingByName(name string) *Setting {
	for _, s := range settings {
		if s.Name == name {
			return s
		}
	}
	return nil
}
