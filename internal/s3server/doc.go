// Package s3server builds and starts an S3 server for tests and benchmarks: versitygw, as a process of its own on
// loopback, over a directory.
//
//	Binary ──go install, once──► Start ──► Server ──CreateBucket, …──► Close
//
// The binary comes from the tools cache (tools/install), STRATA_TOOLS or .cache/tools in the repository. Building it takes
// minutes of CPU the first time, and is announced on standard error. A server that can be neither found nor built fails the
// test: a skipped one would look like a passed one.
package s3server
