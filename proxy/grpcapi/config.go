package grpcapi

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// maxPoll is the longest long poll that is answered, whatever a client asks for.
const maxPoll = 20 * time.Second

// Config holds what the protocol can be told: plain values. The proxy, the certificate and the logger are
// parameters of New.
type Config struct {
	Advertise        string        `yaml:"advertise"`           // host:port that routes name; empty: the address that the client came by
	BrokerName       string        `yaml:"broker_name"`         // of the one logical broker in routes
	LongPolling      time.Duration `yaml:"long_polling"`        // what consumers are told in Settings; at most 20s
	MaxBodySize      int           `yaml:"max_body_size"`       // bytes of one message's body
	MaxInFlightBytes int64         `yaml:"max_in_flight_bytes"` // bytes of send requests being served; more are refused
	MaxLongPolls     int           `yaml:"max_long_polls"`      // receives and pulls being served; more are refused
}

// DefaultConfig is the starting point that files and flags are decoded onto.
func DefaultConfig() Config {
	return Config{
		BrokerName:       "strata",
		LongPolling:      maxPoll,
		MaxBodySize:      4 << 20,
		MaxInFlightBytes: 256 << 20,
		MaxLongPolls:     20_000,
	}
}

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if c.Advertise != "" {
		if _, err := splitHostPort(c.Advertise); err != nil {
			errs = append(errs, fmt.Errorf("advertise: %w", err))
		}
	}
	if c.BrokerName == "" {
		errs = append(errs, errors.New("broker_name: empty"))
	}
	if c.LongPolling < time.Second || c.LongPolling > maxPoll {
		errs = append(errs, fmt.Errorf("long_polling: %s is outside 1s to %s", c.LongPolling, maxPoll))
	}
	if c.MaxBodySize < 1 || c.MaxBodySize > 4<<20 {
		errs = append(errs, fmt.Errorf("max_body_size: %d is outside 1 byte to 4 MiB", c.MaxBodySize))
	}
	if c.MaxInFlightBytes < maxRequestBytes {
		errs = append(errs, fmt.Errorf("max_in_flight_bytes: %d is less than the largest request, %d", c.MaxInFlightBytes, maxRequestBytes))
	}
	if c.MaxLongPolls < 1 {
		errs = append(errs, fmt.Errorf("max_long_polls: %d, want at least 1", c.MaxLongPolls))
	}
	return errors.Join(errs...)
}

// hostPort is an address as routes name it.
type hostPort struct {
	host string
	port int32
}

func splitHostPort(s string) (hostPort, error) {
	host, text, err := net.SplitHostPort(s)
	if err != nil {
		return hostPort{}, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || host == "" {
		return hostPort{}, fmt.Errorf("%q is no host:port", s)
	}
	return hostPort{host: host, port: int32(port)}, nil
}
