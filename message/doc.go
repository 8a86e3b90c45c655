// Package message is what a message is: its ids, its record in a shard's log, its consumeQueue
// entry, and the codecs between them.
//
// Every server package speaks in the types of this one, and so do the clients; it imports
// nothing of the broker.
//
//	Message ──AppendRecord──► record in the log ──► Entry in the consumeQueue
//	        ◄──DecodeStored── (position)             (queue, offset)
//
// # Bytes
//
// A record is a 16-byte envelope and a body. The body of a message is the classic RocketMQ
// stored-message layout, big-endian, so that a Remoting pull copies it out unchanged; everything
// else of ours is little-endian. testdata/golden.txt shows each format byte by byte.
package message
