package commitlog

import (
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
)

var (
	// ErrFenced is the answer of a log whose disk failed, or lost what was durable. To a request that was admitted it means
	// "unknown until recovery", never "absent".
	ErrFenced = errors.New("log is fenced")
	// ErrOverloaded refuses a request because too many bytes wait; nothing was appended.
	ErrOverloaded = errors.New("log has too much to write")
	// ErrFull refuses a request because the disk has no room for it; nothing was appended. It ends when there is room.
	// What is admitted may still get it, see [Request]; and so does what waits for room when the log stops.
	ErrFull = errors.New("disk is full")
	// ErrTooLarge refuses a batch above [MaxBatch]; nothing was appended.
	ErrTooLarge = errors.New("batch is larger than an atomic step may be")
	// ErrClosed refuses a request because the log stops; nothing was appended.
	ErrClosed = errors.New("log is closed")
	// ErrTrimmed says that the local bytes at that position are gone.
	ErrTrimmed = errors.New("position was trimmed")
	// ErrBeyond says that the position lies at or above the watermark.
	ErrBeyond = errors.New("position is beyond the watermark")
	// ErrNotFound says that the folder holds no log and that the caller did not ask for a new one.
	ErrNotFound = errors.New("no log found")
	// ErrState says that a method was called out of the order Open, Replay, Start, Run.
	ErrState = errors.New("log is not in the state for this")
	// ErrEpoch refuses an epoch that is not above every epoch in the log.
	ErrEpoch = errors.New("epoch is not above the last one")
)

// DamageError says that stored bytes that were once durable are not what was written. The log is
// left as it is: repair it from a good copy; cutting it would lose acknowledged messages.
type DamageError struct {
	Path     string           // the segment file
	Position message.Position // where the damage begins
	Proof    string           // what shows that the bytes were durable
	Err      error            // what is wrong with them
}

// Error names file, position, what is wrong, and how we know.
func (e *DamageError) Error() string {
	return fmt.Sprintf("damage in %s at position %d: %v; %s", e.Path, uint64(e.Position), e.Err, e.Proof)
}

// Unwrap returns what is wrong with the bytes; it is a message.ErrCorrupt.
func (e *DamageError) Unwrap() error { return e.Err }
