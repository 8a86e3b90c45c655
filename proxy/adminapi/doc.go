// Package adminapi serves the admin API: what the command line, the console and programs manage a
// broker with. One handler speaks Connect, gRPC and JSON.
//
//	request ──► limits ──► Service ──► Catalog           topics and groups
//	                          ├──────► proxy.Proxy       sends, reads in any tier
//	                          └──────► storelayer.Shard  progress, resets, deletions
//
// A [Service] keeps nothing that must outlive it. What a deletion still owes the shards stands in the
// topic's record; [Service.Run] repeats it until every shard has it.
//
// Errors become Connect codes in one place, see codeOf; their texts are sentences for a person.
package adminapi
