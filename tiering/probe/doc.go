// Package probe finds out, when a broker starts, what an object store really guarantees.
//
// Servers that speak S3 differ in what they leave out: some ignore conditions, some ignore checksums, some answer a
// range with other bytes. A probe puts a few small objects under "probe/", looks at what comes back, and removes them:
//
//	Run ──► Report: Capabilities for the code, Findings for people
//
// A store that may lose or mix up history is refused; one that guarantees less is used with more care, and every
// [Finding] says in one sentence what was seen and what follows.
//
// # What it leaves to others
//
// A probe sees one moment and one connection. Blocks have checksums that every read verifies, keys are unique, and
// nothing is trimmed before it was verified in the bucket: a server that changes its mind later is found out there.
package probe
