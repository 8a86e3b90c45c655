// Command bench measures the broker's paths beside a bare gRPC echo of the same run.
//
//	bench [flags]                  measure every row; writes JSON and prints a table
//	bench report [--readme]        print the table of an earlier run, or put it into both READMEs
//
// Servers are processes of their own: the built broker, the echo (this program again), an S3 server, and on request a
// RocketMQ. Load comes from this process, on the same machine, so client and server share its cores: what counts are
// ratios to the echo of the same run, and the CPU time of the server process per message, read from /proc.
//
// # How a row is measured
//
// Each row runs several short rounds. In a round the echo and everything that is compared take turns, and a ratio is
// taken within the round, so that a machine that is slow for a while is slow for both sides; the row's number is the
// median over its rounds. Every window begins after a warm-up under the same load. Sends and echoes go out of the same
// client code, from requests that were encoded beforehand, so that the client's cost is small and the same.
//
// # What it leaves to others
//
// A row that misses its goal is reported as missed and the program still ends with 0: numbers are for people to judge.
// It fails only if a row has no number.
package main
