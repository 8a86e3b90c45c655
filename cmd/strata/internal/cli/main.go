package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// env is what commands need of the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	server string // address of the admin API
	output string // table or json
}

// Main runs the command line and returns the exit code of the process.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// A second signal ends the process at once: the first one's handling has ended the registration.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	e := &env{stdin: stdin, stdout: stdout, stderr: stderr}
	root := e.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "strata: %s\n", sentence(err))
	if errors.Is(err, errUsage) {
		fmt.Fprintln(stderr, "See strata --help.")
	}
	return exitCode(err)
}

const rootHelp = `strata is StrataMQ: a message broker that RocketMQ 5 clients talk to, and the command
line that manages it.

  strata server                                start a broker, data in ./strata-data
  strata topic create orders                   make a topic
  strata message send orders 'hello'           send a message
  strata message tail orders --from first      see what there is, and what comes
  strata group describe billing                see how far a consumer group has come

Commands other than server talk to a running broker over its admin API, at --server, else
STRATA_SERVER, else 127.0.0.1:8090. They print tables; with -o json they print JSON, whose
field names stay.

Exit codes:
  0   done
  1   it failed, for a reason that has no code of its own
  2   the command line or the configuration is wrong
  3   what was asked for does not exist
  4   the server cannot be reached, is not ready, or is overloaded: try again later
  5   it conflicts with what is there: the name is taken, or somebody else changed it
  6   the data folder is in use by another process (strata server)
  7   damage was found: stored bytes are not what they were
  8   this version cannot do it yet

Environment:
  STRATA_SERVER   address of the admin API
  STRATA_CONFIG   configuration file of strata server and strata config show
  STRATA_…        settings of strata server, one per flag: STRATA_DATA_DIR is --data-dir
  AWS_…           credentials of an s3:// object store`

func (e *env) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "strata",
		Short:         "A message broker that RocketMQ 5 clients talk to",
		Long:          rootHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(e.serverCommand(), e.configCommand(), e.versionCommand(), e.failpointsCommand())
	for _, group := range []*cobra.Command{e.topicCommand(), e.groupCommand(), e.messageCommand(), e.segmentCommand(), e.statusCommand()} {
		e.clientFlags(group)
		root.AddCommand(group)
	}
	root.AddCommand(e.completionCommand(root))
	return root
}

// family is a command that only holds others.
func family(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  unknownSubcommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(commands...)
	return c
}
