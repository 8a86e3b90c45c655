// Package segment is the format of sealed objects: a range of a shard's log, sorted by queue.
//
//	NewWriter ──Add, record by record──► Close ──► object ──Open──► Reader: by offset, by time, by key
//
// A segment of the log becomes one object per retention class. History of one queue lies in one piece of it, so that a
// replay is a sequential read; a seek costs a read of the directory and one of the block.
//
// # Bytes
//
//	┌ block ┬ block ┬ … ┬ entry columns ┬ posting pages ┬ fences ┬ directory ┬ trailer ┐
//
// Each part is drawn above its codec: [BlockHeader], [Column], [PostingPage], [Fence], [Directory], [Trailer]. An object
// is read from its end. All integers are little-endian; records inside blocks are bit-identical to those of the log.
//
// Blocks, column pages and posting pages carry their own checksums, so that every ranged read is verified; fences and
// directory have theirs in the trailer's table of sections. The table has room for sections that are not there yet, and
// the block header has fields for encryption and dictionaries: both are refused by this version.
//
// # Crash safety
//
// The writer streams to an [io.Writer] and does nothing about durability: the object store makes an object visible whole
// or not at all. All decoders expect damaged bytes, and fail with [message.ErrCorrupt].
//
// # What it leaves to others
//
// Which records go into which class, uploads, the manifest that names objects, caches, and the meaning of records.
package segment
