// Package storelayer is the vocabulary of the store layer: what a proxy asks of a shard, and what
// it is told.
//
// A [Shard] is one log and everything derived from it. The shard owns progress: offsets, leases,
// settled messages. The proxy owns cold bytes: where a message lies in the bucket only, the shard
// names its offset and the proxy reads the block.
//
//	Append ──► the log ──► consumeQueue, index ──► Lease ──► Ack
//	                                          └──► Fetch       └─► Change, DeadLetter
//
// The engines are the subpackages: commitlog (the log), queue (consumeQueue and index), group
// (leases and progress), shard (the shell that owns them).
package storelayer
