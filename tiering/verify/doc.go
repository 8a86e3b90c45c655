// Package verify checks a whole bucket, from its manifest entries alone: that it describes itself, and that nothing of it
// is damaged or missing.
//
//	entries of each shard ──hash chain, log ranges──► objects ──checksums, blocks──► messages ──offsets without holes──► Report
//
// It reads every byte once or twice, changes nothing, and may run beside a live broker: what is written meanwhile is
// not looked at. [Run] goes on behind a problem, so that one report names them all; [Entries] and [Print] list what is
// there without reading bodies.
//
// # What it leaves to others
//
// Repair, and deciding what an orphan is: an object that no entry names may belong to a seal that is under way.
package verify
