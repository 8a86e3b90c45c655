package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// ErrInvalid says that the configuration cannot be used.
var ErrInvalid = errors.New("invalid configuration")

// Sources are where settings come from, beside the defaults.
type Sources struct {
	File  string            // path of a YAML file; empty for none
	Env   []string          // "NAME=value", as os.Environ returns them
	Flags map[string]string // the flags that were given, by name
}

// Effective is a configuration and where its values came from.
type Effective struct {
	Config

	origins map[string]string // by flag name; absent: the default
}

// Origin says where a setting's value came from: "default", "strata.yaml:3", "STRATA_DATA_DIR", "--data-dir".
func (e *Effective) Origin(s *Setting) string {
	return cmp.Or(e.origins[s.Name], "default")
}

// Value returns a setting's effective value as text that would set it.
func (e *Effective) Value(s *Setting) string { return s.format(&e.Config) }

// Load applies all sources. Its error is an [ErrInvalid] that has a line for everything that is wrong.
func Load(from Sources) (*Effective, error) {
	l := loader{effective: &Effective{Config: Default(), origins: make(map[string]string)}}
	if from.File != "" {
		l.file(from.File)
	}
	l.env(from.Env)
	l.flags(from.Flags)
	if len(l.errs) == 0 {
		if err := l.effective.resolve(); err != nil {
			l.errs = append(l.errs, err)
		}
		for _, p := range l.effective.problems() {
			l.wrong(l.effective.Origin(settingByName(p.setting)), settingByName(p.setting).Key(), p.err)
		}
	}
	if len(l.errs) > 0 {
		return nil, &invalidError{l.errs}
	}
	return l.effective, nil
}

// invalidError is everything that is wrong with a configuration.
type invalidError struct{ errs []error }

// Error has a line for each.
func (e *invalidError) Error() string {
	var b strings.Builder
	b.WriteString(ErrInvalid.Error())
	for _, err := range e.errs {
		b.WriteString("\n  " + err.Error())
	}
	return b.String()
}

// Unwrap makes the error an [ErrInvalid].
func (e *invalidError) Unwrap() []error { return append([]error{ErrInvalid}, e.errs...) }

type loader struct {
	effective *Effective
	errs      []error
}

// wrong notes an error with its place. Where the place is the name it is not said twice.
func (l *loader) wrong(origin, key string, err error) {
	if strings.Contains(origin, ":") || origin == "default" {
		origin += ": " + key
	}
	l.errs = append(l.errs, fmt.Errorf("%s: %w", origin, err))
}

func (l *loader) set(s *Setting, text, origin string) {
	if err := s.parse(&l.effective.Config, text); err != nil {
		l.wrong(origin, s.Key(), err)
		return
	}
	l.effective.origins[s.Name] = origin
}

// file applies a YAML file: one mapping of keys to scalars.
func (l *loader) file(path string) {
	raw, err := os.ReadFile(path)
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil && !errors.Is(err, io.EOF) {
		l.errs = append(l.errs, fmt.Errorf("%s: %w", path, err))
		return
	}
	if len(document.Content) == 0 {
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.Tag != "!!null" {
			l.errs = append(l.errs, fmt.Errorf("%s:%d: want keys and values, such as segment_size: 1GiB", path, root.Line))
		}
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		origin := fmt.Sprintf("%s:%d", path, key.Line)
		at := slices.IndexFunc(settings, func(s *Setting) bool { return s.Key() == key.Value })
		switch {
		case at < 0:
			l.errs = append(l.errs, fmt.Errorf("%s: %w", origin, unknown("key", key.Value, (*Setting).Key)))
		case seen[key.Value] > 0:
			l.wrong(origin, key.Value, fmt.Errorf("given a second time, first in line %d", seen[key.Value]))
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			l.wrong(origin, key.Value, errors.New("want one value"))
		default:
			l.set(settings[at], value.Value, origin)
		}
		seen[key.Value] = key.Line
	}
}

// otherVariables are variables with our prefix that are not settings: those of the command line, those of
// this repository's programs that start brokers, which pass their environment on, and those that Kubernetes
// puts into every container beside a service named strata.
var otherVariables = regexp.MustCompile(`^STRATA_(SERVER|CONFIG|FAILPOINTS|FAILPOINT_HITS|TEST_.*|` +
	`BIN|CACHE|CASES|CLIENTS|CONFORMANCE_ALL|ENDPOINT|KEEP|KEEPALIVE_PINGS|MQADMIN|PARALLEL|TABLE|TLS|TLS_CASES|TOOLS|` +
	`(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?))$`)

// env applies the variables, sorted so that errors have an order.
func (l *loader) env(env []string) {
	env = slices.Clone(env)
	slices.Sort(env)
	for _, assignment := range env {
		name, value, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, EnvPrefix) || otherVariables.MatchString(name) {
			continue
		}
		at := slices.IndexFunc(settings, func(s *Setting) bool { return s.Env() == name })
		if at < 0 {
			l.errs = append(l.errs, unknown("variable", name, (*Setting).Env))
			continue
		}
		l.set(settings[at], value, name)
	}
}

func (l *loader) flags(flags map[string]string) {
	for _, s := range settings {
		if value, given := flags[s.Name]; given {
			l.set(s, value, "--"+s.Name)
		}
	}
}
