package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/cmd/strata/internal/server"
	"github.com/stratamq/stratamq/internal/failpoint"
)

const configEnv = config.EnvPrefix + "CONFIG"

const serverHelp = `Start a broker: log, metadata and object store in one process and, unless told otherwise,
in one folder. Nothing listens beyond this machine without being asked.

Every setting has three spellings: the flag --segment-size, the key segment_size of the
configuration file, the variable STRATA_SEGMENT_SIZE. A flag wins over a variable, a variable
over the file, the file over the default. A name that there is not is an error.
strata config show prints what is in effect and where it came from.

The broker stops on SIGTERM or SIGINT, in less than 5 s: long polls are answered, the log is
synced. A second signal ends it at once; nothing acknowledged is lost by that.

Sizes are written 512MiB or 1GiB, durations 20s, 6h or 7d.

Exit codes: 0 stopped as asked, 1 failed, 2 the configuration is wrong, 6 the data folder is in
use by another process, 7 the log or the metadata is damaged.`

const serverExample = `  strata server
  strata server --data-dir /var/lib/strata --grpc-addr 0.0.0.0:8081 --grpc-advertise mq1.example.com:8081
  strata server --object-store 's3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1'
  STRATA_SEGMENT_SIZE=64MiB strata server --config strata.yaml`

func (e *env) serverCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "server",
		Short:   "Start a broker",
		Long:    serverHelp,
		Example: serverExample,
		Args:    noArgs,
	}
	load := settingFlags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		effective, err := load()
		if err != nil {
			return err
		}
		return e.serve(c, effective.Config)
	}
	return c
}

func (e *env) serve(c *cobra.Command, settings config.Config) (err error) {
	if err := failpoint.Check(); err != nil {
		return usage("%w", err)
	}
	log := newLogger(settings, e.stderr)
	s, err := server.Open(c.Context(), settings, version(), log)
	if err != nil && c.Context().Err() != nil && errors.Is(err, context.Canceled) {
		log.Info("stopped while it started")
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fmt.Fprint(e.stdout, s.Banner())
	return s.Run(c.Context())
}

// failpointsCommand is for the loops that kill a broker at every one of them.
func (e *env) failpointsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "failpoints",
		Short:  "Print the moments at which a test can end the server",
		Hidden: true,
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range failpoint.Names() {
				fmt.Fprintln(e.stdout, name)
			}
			return nil
		},
	}
}

// newLogger returns the logger that the settings describe.
func newLogger(settings config.Config, w io.Writer) *slog.Logger {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	options := &slog.HandlerOptions{Level: levels[settings.LogLevel]}
	if settings.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// settingFlags adds a flag for every setting, and returns what loads the configuration once the flags are parsed.
func settingFlags(flags *pflag.FlagSet) func() (*config.Effective, error) {
	file := flags.String("config", "", "configuration `FILE` in YAML")
	given := make(map[string]string)
	for _, s := range config.Settings() {
		value := &settingFlag{name: s.Name, kind: s.Placeholder, text: s.Default(), given: given}
		flag := flags.VarPF(value, s.Name, "", s.Usage)
		if s.Placeholder == "" {
			flag.NoOptDefVal = "true"
		}
	}
	return func() (*config.Effective, error) {
		from := config.Sources{File: *file, Env: os.Environ(), Flags: given}
		if from.File == "" {
			from.File = os.Getenv(configEnv)
		}
		return config.Load(from)
	}
}

// settingFlag keeps the text of a flag; package config reads it.
type settingFlag struct {
	name, kind, text string
	given            map[string]string
}

func (f *settingFlag) String() string { return f.text }

func (f *settingFlag) Set(text string) error {
	f.given[f.name], f.text = text, text
	return nil
}

// Type is what help shows behind the flag.
func (f *settingFlag) Type() string {
	if f.kind == "" {
		return "bool"
	}
	return strings.ToLower(f.kind)
}
