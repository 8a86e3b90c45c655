// Command bucket does one piece of work on sealed objects and says what it cost: it is the part of bench that has to
// import the broker's own packages.
//
//	bucket copy  URL FILE      put a file into the bucket, get it back
//	bucket zstd  FILE          compress a file in blocks, as a seal does
//	bucket raw   URL SPEC      get the bytes of a queue by ranges, decompress them, and nothing else
//	bucket read  URL SPEC      get the messages of a queue by tiering/history
//
// Bench runs it as a process of its own, so that its CPU time is that of the work. The answer is one line of JSON. With
// STRATA_BENCH_CORE=N it keeps to one core, with STRATA_BENCH_PROFILE=FILE it writes a CPU profile.
package main
