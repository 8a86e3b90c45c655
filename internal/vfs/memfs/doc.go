// Package memfs is a file system in memory that forgets at a crash what nobody synced, and fails on demand.
//
// It keeps two states: what a running program sees, and what a disk would hold. Writes, lengths
// and names stand between the two until a Sync or SyncDir moves them over. [FS.Crash] is a power
// cut: a new file system with the durable state and, by seed, any part of what stood between, cut
// at sectors of 512 bytes or pages of 4 KiB. [FS.Restart] is a kill: the page cache lives on, with
// what is in it still not synced.
//
//	program's view ──Sync, SyncDir──► durable
//	       └────────any part──────────► Crash
//
// # Faults
//
// A hook sees every call before it happens and may let it fail, with or without its effect, write
// a part, wait, or stop the whole file system. A Sync that fails does what Linux does: the pages
// count as clean, some reached the disk and some never will, reading still shows all of them, and
// the next Sync succeeds.
//
// # What it leaves to others
//
// It is for tests: everything lies in memory, and a lock is good within one FS.
package memfs
