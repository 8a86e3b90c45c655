// Package ledger remembers what a broker promised to clients that torture it, and says which promise it broke.
//
// A load tells the ledger what it is about to do and what it was answered; readers tell it what they see.
// An answer that never came is neither a yes nor a no: it stays unknown, until somebody sees the message.
//
//	Begin ──answer──► OK        must be read for ever, at one offset, with these bytes     (I1, I3)
//	      ├─answer──► Refused   must never be read                                         (I2)
//	      └─nothing─► Unknown   may be read or not, but once read it must stay             (I1, I3)
//
// What can be seen at once is checked at once: a message at two offsets, an offset with two messages, a
// delivery after its acknowledgement. What needs the whole is checked when a pass over all queues is
// complete: [Ledger.EndPass], [Ledger.CheckOrder], [Ledger.CheckSettled].
//
// Times are monotonic nanoseconds since the ledger was made. The tests of this package feed it histories
// with each kind of broken promise: a checker that cannot fail proves nothing.
package ledger
