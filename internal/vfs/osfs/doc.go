// Package osfs is the operating system's file system behind the interface of vfs.
//
// A Sync is an fdatasync, a lock is an flock on a file that says who holds it, and a mapping is a
// shared read-only mmap whose bytes are copied out under a guard: a page that cannot be read
// panics in the copying goroutine alone and comes back as vfs.ErrFault.
//
// # Crash safety
//
// As the contract in vfs says, on a local file system that honours fsync (ext4 and XFS do).
package osfs
