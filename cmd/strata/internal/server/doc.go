// Package server is the broker in one process: it opens every engine, joins them, runs them, and stops
// them in the order that loses nothing.
//
//	lock ─► metadata ─► shard ─► object store ─► listeners ──Run──► serving ──ctx ends──► drained
//
// [Open] takes the lock on the data folder before anything else touches it, so that a second instance
// finds out before it can do harm. [Server.Run] owns every goroutine through one errgroup: a part that
// fails stops the others, as SIGTERM does.
//
// # Stopping
//
// In the reverse order of the starts, each part within its own time, all of it in less than 5 s:
// readiness goes away, no new connection or call is taken, long polls are answered, the offloader parks
// between two steps, the shard writes and syncs what it has admitted and leaves a snapshot, the metadata
// closes, and the lock goes last.
//
// # The data folder
//
//	LOCK          held while the process lives; names the holder
//	incarnation   the random id of this folder
//	meta/         the embedded metadata store
//	shards/00000/ the log and what is derived from it
//	objects/      the object store, unless another is configured
//	tls/          the self-signed certificate, unless one is configured
package server
