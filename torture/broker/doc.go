// Package broker starts the built binary as a process of its own, talks to its admin API, and ends it the
// hard way.
package broker
