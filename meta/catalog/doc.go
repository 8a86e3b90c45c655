// Package catalog keeps the topics and groups of the cluster in memory, and changes them.
//
// Every send and receive looks a name up here, without a lock and without asking the metadata
// store. A watch keeps the memory up to date; what this process changes itself is there at once.
//
//	New ──Run──► loading ──both buckets seen whole──► ready ──ctx ends──► stopped
//
// A watch may lag, so a name that is not there is asked for once, really, before the answer is
// "not found"; that answer is then good for a second.
//
// # Crash safety
//
// A topic exists once its compare-and-set has succeeded. A group exists at its first use, in
// memory: what its members do is in the shards' logs under its name and generation. Its record
// follows behind, and is made again after a crash by the next use.
package catalog
