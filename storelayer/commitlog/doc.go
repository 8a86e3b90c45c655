// Package commitlog stores the log of a shard: one stream of bytes in segment files, synced in groups.
//
// Many goroutines submit batches; the committer gives each its position, packs what is waiting into
// one frame, writes and syncs it, and answers. While one frame syncs the next fills in memory.
//
//	Open ──► Replay ──► Start ──► Run ──► Close
//	recover   caller's   new       commit
//	and cut   state      epoch     and serve
//
//	segment:  created ──frames──► full ──(sealed by others)──► trimmed
//
// # Bytes
//
// A segment file is a header page and frames; both are drawn above their codecs. A position is an
// offset in the stream, never reused; segments join without a hole, and no frame crosses from one
// into the next. Frames start at multiples of 4 KiB, so a synced page is never written again.
//
// # Crash safety
//
// A request that asked for it is answered after its frame's fdatasync. A frame is written only
// when the sync of the one before has returned, so a frame that can be recognised proves
// everything below it: what fails its checksum below such a proof is damage, and [Open] returns a
// [*DamageError] and changes nothing. What fails with nothing recognisable behind it is the torn
// end of the last write, which nobody was told about, and is cut. Open then writes again and syncs
// the last frame, which after a kill may be in the page cache only, before anyone can read it.
//
// The first failed write or sync fences the log for good: what the disk holds is then unknown until
// the next Open. Damage to exactly the last frame of the only copy cannot be told from a torn end;
// an idle log therefore writes one frame without records behind the last.
//
// # What it leaves to others
//
// What records mean, who may read them, where epochs come from, the lock on the folder, and copies elsewhere.
package commitlog
