// Package offload moves full segments of a shard's log into the bucket and removes them from the local disk.
//
//	full ──objects, snapshot──► written ──head──► sealed ──entry──► described ──values──► readable ──grace──► trimmed
//
// A seal has five steps, each of which may be repeated: (1) write the objects and the snapshot and verify them; (2)
// move the manifest head, which holds the whole new entry, by compare-and-set: this is the commit; (3) put the entry
// into the bucket as an immutable object; (4) write consumeQueue and index values, derived from the objects, into the
// metadata store; (5) remove the local bytes, after a grace.
//
// # Life cycle
//
// [New] makes an offloader for one shard of which this process is the leader; [Offloader.Run] claims the manifest head
// for the leader's epoch, finishes what a crash left half-done, and then seals and trims until its context ends or
// another leader has claimed the head.
//
// # Crash safety
//
// Head and bucket say how far a seal has come; the offloader remembers nothing. What was written before the head moved
// is an orphan under a key of its own and is never read. Entry n+1 is committed only when entry n is in the bucket and
// its values are written, so at most the newest entry is unfinished. Local bytes go last.
//
// # What it leaves to others
//
// Reading a shard ([Source]), when a segment is full or old, reading history, and deleting objects.
package offload
