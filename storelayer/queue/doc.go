// Package queue is the hot consumeQueue and the hot index of one shard: where the messages of a queue lie in the
// local log, and which messages have a key.
//
// A [Table] holds all queues of a shard. One goroutine appends, in log order, once the watermark has passed
// a message; readers come from any goroutine and meet only on the lock of their queue.
//
//	frame synced ──Append──► active segment, in memory ──Roll──► full, in memory
//	                                                               │ WriteSegment, OpenSegmentFile, Attach
//	                                                    gone ◄──Drop── in a file sorted by queue
//
// # Offsets
//
// The committer takes offsets from [Table.Reserve] while it encodes a frame; readers see a message once Append has
// published it. Nothing gives an offset back: a write that failed fences the log.
//
// # Bytes
//
// An entry is the 24 bytes of [message.Entry], kept in slabs without pointers. A segment's file holds its
// entries grouped by queue, and its index postings in buckets by hash.
//
// # Crash safety
//
// Everything here is derived: a segment's file may be deleted at any time and is made again from the frames
// with a [Builder]; the table is rebuilt from a snapshot of its queues and the frames of the local segments.
package queue
