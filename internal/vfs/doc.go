// Package vfs is how store code sees a disk: a small set of calls whose durability is spelled out.
//
// What a call promises is written on the method of [FS] and [File]; an engine keeps exactly that
// and a test may take away everything else. Two engines exist: osfs is the operating system,
// memfs is memory that forgets at a crash what nobody synced and fails on demand. Both pass
// vfstest.Run.
//
//	Create ──WriteAt──► Sync ──► the bytes survive a power cut
//	   └─────SyncDir of its folder──► the name survives a power cut
//
// # Crash safety
//
// Bytes survive a power cut once [File.Sync] returned nil, names once [FS.SyncDir] did. Before
// that any part of them may survive, in any order, in pieces of one disk sector. After a Sync that
// failed nothing is known of the bytes written since the Sync before it: reading them may give
// what was written although the disk never got it, and the next Sync may succeed without them.
//
// # What it leaves to others
//
// Formats, checksums and the order of calls belong to the callers, and so does closing what they opened.
package vfs
