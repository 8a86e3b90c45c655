// Command strata is StrataMQ in one binary: the broker, and the command line that manages one.
//
//	strata server            start a broker
//	strata topic create …    manage it, over its admin API
//
// strata --help is the manual.
package main

import (
	"os"

	"github.com/stratamq/stratamq/cmd/strata/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
