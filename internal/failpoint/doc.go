// Package failpoint names the moments before and after every durable step, so that a test can end the process there.
//
// A package declares its points as variables; a point that nobody armed costs one atomic load.
// Which points do what is read once from the environment of the process:
//
//	STRATA_FAILPOINTS=commitlog/before-sync=kill@3;commitlog/after-sync=pause
//	STRATA_FAILPOINT_HITS=/tmp/hits
//
// The first arms points: kill ends the process by SIGKILL, pause stops it by SIGSTOP until a
// SIGCONT, hang keeps the goroutine there for ever while all others go on, as a disk does that does
// not answer; "@n" means at the n-th hit, the first without it. The second counts: a line
// "pid name 0" is appended for each point that there is, so that nobody else needs a list of them,
// and lines "pid name count" at the hits 1, 2, 4, 8 … and before a kill, so that what a killed
// process did can still be counted to within a factor of two at the price of few writes.
package failpoint
