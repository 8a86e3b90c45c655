package meta

import "errors"

// What a metadata store can answer instead of doing what it was asked.
var (
	// ErrNotFound says that the key had no value where it was looked up. It may be a stale answer.
	ErrNotFound = errors.New("metadata key not found")

	// ErrConflict says that the key did not have the expected revision; nothing was written by this call.
	ErrConflict = errors.New("metadata changed meanwhile")

	// ErrUnavailable says that the store could not be asked; a write with this error did not happen.
	ErrUnavailable = errors.New("metadata store unavailable")

	// ErrUnknown says that a write may have happened, or may still happen.
	ErrUnknown = errors.New("outcome of metadata write unknown")

	// ErrDamaged says that a value is there and its own checksum denies it.
	ErrDamaged = errors.New("metadata value damaged")

	// ErrTooLarge says that a value or a key exceeds its bound; nothing was written.
	ErrTooLarge = errors.New("metadata value too large")

	// ErrExists says that a topic or group of this name is there already.
	ErrExists = errors.New("already exists")

	// ErrInvalid says that a record breaks one of its own rules.
	ErrInvalid = errors.New("invalid metadata record")
)
