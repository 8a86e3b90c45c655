// Package tiering is the vocabulary of the object store: the interface its drivers implement, what
// their errors mean, what keys look like, and the URL that names a store.
//
// Objects are written once and never changed. The offloader seals a segment into them, history reads
// ranges of them, retention deletes them:
//
//	absent ──Put, or Create…Complete──► whole ──Delete──► absent
//
// # Crash safety
//
// An object becomes visible whole or not at all. A call that failed may have taken effect, now or
// later; so keys are unique (shard, position, class, epoch, uuid), and a late write is an orphan
// that retention collects, never a change of what a reader sees.
//
// # What it leaves to others
//
// Drivers: tiering/s3 and tiering/file, opened by tiering/drivers. What a server really guarantees is
// found out by tiering/probe. tiering/objecttest is the contract as tests; tiering/objectfault breaks calls
// on purpose. tiering/multipart is an [io.Writer] that uploads while it is written. tiering/segment is
// the format of sealed objects.
package tiering
