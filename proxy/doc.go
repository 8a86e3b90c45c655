// Package proxy is what every client protocol shares: which shard holds a queue, who is connected,
// how messages are sent, received, acknowledged and read.
//
// A [Proxy] keeps nothing that must outlive it: any proxy serves any request of any client, and a
// handle made by one is honored by all. The protocols are the subpackages; they decode and validate,
// speak to a Proxy in the types of message and storelayer, and turn its errors into their codes.
//
//	client ──► grpcapi ──► Proxy ──► storelayer.Shard   progress, hot bytes
//	                        └──────► History            cold bytes
//
// # The seam
//
// A shard names the offsets that it hands out; the bytes come with them while they are local. For the
// others its answer carries the sequence of the last seal, and the proxy reads them from the bucket
// through [History], which must have seen that seal. A cold message that cannot be read is given back
// without counting an attempt, and nothing more of that queue is leased until a read works: it is
// neither skipped nor used up.
//
// # What it leaves to others
//
// Topics and groups are looked up in memory ([Directory]); no send, receive or acknowledgement asks the
// metadata store.
package proxy
