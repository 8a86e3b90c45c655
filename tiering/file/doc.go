// Package file keeps objects as files below a directory: the object store of a broker that was started
// with no configuration, and of tests.
//
//	<dir>/<key>             an object, its bytes and nothing else
//	<dir>/.tmp/<random>     an object or upload that is being written
//
// An object is written into a temporary file and given its name when it is whole:
//
//	create temporary ──write, sync──► rename, or link for IfAbsent ──sync of the directories──► visible
//
// # Crash safety
//
// Put and Complete return after the file and every directory on the way to it were synced. A crash
// before leaves a temporary file, which [Open] removes when it is a day old: a second process may be
// writing younger ones. Link fails if the name is taken, so IfAbsent has exactly one winner, among
// processes too.
//
// # What it leaves to others
//
// Files carry no checksum of their own: the bytes that were written are compared with the caller's
// CRC32C on their way down, and whoever wants to check them later reads them.
package file
