// Package history reads a queue's messages straight from the bucket, in order, from any offset on.
//
//	Read(queue, offset) ──► manifest ──► runs of the queue ──► directory of the object ──► blocks ──► messages
//	                        (chain)      (consumeQueue values)  (one request)               (one request)
//
// A [History] needs no store node. It keeps the chain of sealed segments, the packed consumeQueue values and the
// directories in bounded caches, decoded blocks in ristretto by bytes, and for sequential readers the raw bytes of the
// range that was read ahead. A seek so costs two requests, one with a warm directory.
//
// # Life cycle
//
// [New] starts nothing but the block cache; [History.Close] waits for what is read ahead. All methods may be called
// from many goroutines; requests for the same bytes at the same time are one request.
//
// # What is true
//
// Every caller says which seal the shard has reported; a chain that does not reach it is read anew before anything is
// answered. The metadata store is asked first, but the bucket alone is enough: entries and directories are there.
// Every block is verified each time it was fetched, and fetched again if it is damaged. An object that is not there is
// an error ([tiering.ErrMissingObject]), never "no messages", unless the queue's first offset has passed it ([ErrGone]).
//
// # What it leaves to others
//
// What a shard still has locally, filters, and which errors a client sees.
package history
