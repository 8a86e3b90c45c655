// Package shard is one shard of the store layer: the shell around a log and what is derived from it.
//
// The shell does the I/O and owns the goroutines; what it decides, pure state machines decide.
//
//	Append ─► commitlog ─► apply ─► queue.Table, index ─► polls wake
//	                          └───► group.Group ◄─ Lease, Ack, Change
//	                          └───► snapshot at each roll
//
// # Life cycle
//
// [Open] recovers the log, loads the newest snapshot that belongs to it, replays what lies behind, and begins
// an epoch; [Shard.Run] commits until its context ends; [Shard.Close] syncs, leaves a snapshot and joins.
//
// # Crash safety
//
// Everything durable is a record of the log. Snapshots and queue files only save time: each can be deleted at
// any moment, and a shard without them comes back the same as long as the log reaches back far enough or the
// bucket has the snapshot of the last seal.
//
// # What it leaves to others
//
// Choosing a queue, access rules and protocols are the proxy's; objects are tiering's, which reads a shard
// through [Shard.Source].
package shard
