// Package objecttest is the contract of [tiering.ObjectStore] as tests: what the offloader, history and retention
// rely on. Every driver runs [Run] from a test of its own, tiering/objecttest's own test over all of them.
package objecttest
