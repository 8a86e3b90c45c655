// Package meta is the vocabulary of the metadata store: buckets, keys, the envelope around every
// value, the typed records inside it, and how to change one so that the outcome is known.
//
// An engine (memory, nats) implements [Store]; everybody else goes through a [Client], which
// knows who writes and resolves unknown outcomes. Package catalog keeps topics and groups in memory.
//
//	record ──encode──► Data ──┐
//	                          ├─► Envelope ──AppendTo──► bytes of (bucket, key) at a revision
//	        writer, nonce ────┘
//
// # What is a fact
//
// A read or a watch is a hint: a replica, or even a leader that was paused, may answer with an
// old value. Only a compare-and-set that succeeded is a fact, and "not found" never means that
// nothing was ever there. No record of a steady broker's send or hot receive is read from here.
//
// # Crash safety
//
// A write that returned without error is on stable storage. One that timed out is unknown
// ([ErrUnknown]): it may have happened, or may still happen. Every write carries a nonce, so that
// its writer can recognise it; [Client.CompareAndSet] does that. Every value carries a checksum
// over all of it, because the store below was seen to lose and alter values without a word;
// a value that fails it is [ErrDamaged], never "not found".
//
// # What it leaves to others
//
// The contents of manifest entries and of consumeQueue and index values belong to tiering.
// Who may open the folder of an embedded store is decided by a lock that the caller holds.
package meta
