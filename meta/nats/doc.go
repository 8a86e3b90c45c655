// Package nats keeps the metadata in NATS JetStream: in a server embedded in this process, or in
// one outside.
//
// A bucket is a key-value stream of one value per key, without expiry. A revision is the stream's
// sequence number.
//
//	OpenEmbedded ─► server on a folder ─► connection in memory ─┐
//	                                                            ├─► buckets ─► Store ──Close──►
//	OpenRemote ───────────────────────► connection by network ──┘
//
// # Crash safety
//
// The embedded server syncs every write before it answers (its default loses the last two minutes
// in a power cut) and listens on no port. The bucket cluster is made last: a store that has it and
// lacks another one has lost data, and opening it fails with [meta.ErrDamaged].
//
// Reads go to the leader of a stream, never to the next best replica, which right after a write
// would answer with the value before it two times out of three. Even so they are hints.
//
// # What it leaves to others
//
// NATS opens a folder that another process has open without complaint, and then both write. The
// caller of [OpenEmbedded] holds a lock of its own on the folder, from before the call until after
// [Store.Close].
package nats
