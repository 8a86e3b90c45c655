package storelayer

import (
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

// The sentinels of the store layer. Each names one answer that a proxy turns into a code of its protocol.
var (
	// ErrOverloaded says that nothing was appended because too many bytes wait; try again later.
	ErrOverloaded = errors.New("too many bytes wait for the log")
	// ErrDiskMark says that nothing was appended because the disk has too little free space.
	ErrDiskMark = errors.New("free disk space is below the disk mark")
	// ErrUnknown says that the outcome is not known: the record may or may not be stored.
	ErrUnknown = errors.New("outcome unknown")
	// ErrFenced says that this log takes no more appends: a sync failed, or another leader began.
	// What waits at that moment fails with an error that is ErrUnknown as well.
	ErrFenced = errors.New("shard is fenced")
	// ErrClosed says that the shard is stopping and nothing was appended.
	ErrClosed = errors.New("shard is closed")
	// ErrInvalidHandle says that a receipt handle does not parse or that its lease is over.
	ErrInvalidHandle = errors.New("invalid receipt handle")
	// ErrQueueNotFound says that the shard does not hold the queue, or that its topic was deleted.
	ErrQueueNotFound = errors.New("queue not found")
	// ErrGroupNotFound says that the group has no progress on the shard.
	ErrGroupNotFound = errors.New("consumer group not found")
	// ErrOffsetNotFound says that the group has committed no offset for the queue.
	ErrOffsetNotFound = errors.New("no committed offset")
	// ErrNotReplicated refuses an ack mode that needs followers.
	ErrNotReplicated = errors.New("ack mode replicated needs replication, which this version does not have")
)

// OffsetOutOfRangeError says that an offset lies outside of its queue.
type OffsetOutOfRangeError struct {
	Queue       message.Queue
	Offset      message.Offset
	First, Next message.Offset // the queue holds [First, Next)
}

// Error names the offset and the range that would be right.
func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d of queue %s is outside [%d, %d)", e.Offset, e.Queue, e.First, e.Next)
}
