// Package manifest describes what has been sealed: the entries of a shard's chain, and the values that find a queue or a
// key in their objects.
//
//	Entry 1 ◄─hash─ Entry 2 ◄─hash─ … ◄─hash─ Entry n, which the head in the metadata store holds whole
//	   └─ names objects ──Derive──► consumeQueue value: which part of which queue is where
//	                          └───► index value: fences of the key postings
//
// An [Entry] is an immutable object of the bucket, under [EntryKey]. The metadata store has the newest one in its
// head, which moves by compare-and-set; that is what commits an entry. The values are derived from the objects alone,
// by [Derive], so they may be lost: a reader that misses one derives it again.
//
// # Bytes
//
// [Entry] is fixed-width, so that equal entries are equal bytes. [QueueValue] and [IndexValue] are packed: together
// they are what is written into the metadata store per seal, and have to stay below 0.02 % of a full segment with up
// to 1,000 queues. Their kind byte leaves room for values that many segments are folded into.
//
// # Crash safety
//
// Entries carry a checksum and the hash of the entry before; values are in the metadata store's own envelopes. All
// decoders expect damaged bytes and fail with [message.ErrCorrupt].
//
// # What it leaves to others
//
// Committing entries (tiering/offload), reading history (tiering/history), checking a whole bucket (tiering/verify).
package manifest
