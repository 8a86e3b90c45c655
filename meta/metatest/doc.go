// Package metatest says what a metadata engine must do, and lets every engine prove it.
//
// [Run] is the conformance suite. [Faulty] stands between a client and an engine and lies the way
// networks lie: a write failed, or failed but took effect, or takes effect later; a read is stale.
package metatest
