package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/tiering"
)

// The exit codes, as the manual lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnavailable = 4
	exitConflict    = 5
	exitInUse       = 6
	exitDamaged     = 7
	exitNotYet      = 8
)

var (
	errUsage = errors.New("usage")
	// errDamageFound says that a verification found something; the report has been printed.
	errDamageFound = errors.New("damage was found")
)

// usageError is a command line that cannot be run.
type usageError struct{ err error }

func (e *usageError) Error() string   { return e.err.Error() }
func (e *usageError) Unwrap() []error { return []error{e.err, errUsage} }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode returns the code that stands for an error.
func exitCode(err error) int {
	if _, damaged := errors.AsType[*commitlog.DamageError](err); damaged {
		return exitDamaged
	}
	switch {
	case errors.Is(err, errUsage), errors.Is(err, config.ErrInvalid), errors.Is(err, tiering.ErrInvalidURL):
		return exitUsage
	case errors.Is(err, errNoMessage), errors.Is(err, tiering.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return exitNotFound
	case errors.Is(err, vfs.ErrLocked):
		return exitInUse
	}
	for _, damage := range []error{errDamageFound, meta.ErrDamaged, message.ErrCorrupt, tiering.ErrCorrupt, tiering.ErrMissingObject} {
		if errors.Is(err, damage) {
			return exitDamaged
		}
	}
	answer, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return exitFailed
	}
	switch answer.Code() {
	case connect.CodeInvalidArgument, connect.CodeOutOfRange:
		return exitUsage
	case connect.CodeNotFound:
		return exitNotFound
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted:
		return exitUnavailable
	case connect.CodeAlreadyExists, connect.CodeAborted, connect.CodeFailedPrecondition:
		return exitConflict
	case connect.CodeDataLoss:
		return exitDamaged
	case connect.CodeUnimplemented:
		return exitNotYet
	default:
		return exitFailed
	}
}

// sentence returns what a person reads: an error of the API without the name of its code.
func sentence(err error) string {
	if answer, ok := errors.AsType[*connect.Error](err); ok {
		if answer.Code() == connect.CodeUnavailable && !connect.IsWireError(err) {
			return err.Error()
		}
		return strings.Replace(err.Error(), answer.Code().String()+": ", "", 1)
	}
	return err.Error()
}

func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownSubcommand(c, args)
	}
	return nil
}

// unknownSubcommand refuses arguments of a command that only holds others, and names the nearest one.
func unknownSubcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(names) == 0 {
		return usage("%s takes no arguments, not %q", c.CommandPath(), args[0])
	}
	return usage("%s has no command %q; did you mean %q?", c.CommandPath(), args[0], config.Nearest(args[0], names))
}

// exactArgs wants one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return usage("%s wants %s, got %d arguments", c.CommandPath(), strings.Join(names, " and "), len(args))
		}
		return nil
	}
}
