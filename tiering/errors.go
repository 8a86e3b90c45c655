package tiering

import (
	"errors"
	"strconv"
)

// What a failed call means. Drivers wrap these in an [*OpError]; callers use errors.Is.
var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrExists says that a put with IfAbsent found the key taken, or lost against a concurrent one.
	ErrExists = errors.New("object already exists")
	// ErrCorrupt says that bytes are not what they have to be: checksum, length or range. Trying again
	// helps only if the damage happened on the way.
	ErrCorrupt = errors.New("object corrupt")
	// ErrThrottled says that the store asked for fewer requests. The driver has already retried.
	ErrThrottled = errors.New("object store throttles")
	// ErrUnavailable says that the store did not answer, or answered that it cannot serve now. The
	// driver has already retried; a write may still have taken effect.
	ErrUnavailable = errors.New("object store unavailable")
	// ErrDenied says that the credentials are missing, wrong, or not allowed to do this.
	ErrDenied = errors.New("object store access denied")
	// ErrNoBucket says that the bucket or directory itself does not exist.
	ErrNoBucket = errors.New("bucket does not exist")
	// ErrUnsupported says that the server does not implement what was asked, such as a conditional put.
	ErrUnsupported = errors.New("object store does not support this")
	// ErrMissingObject says that an object which the manifest names, and whose messages are not past their
	// retention, is not there. Nothing may be skipped because of it.
	ErrMissingObject = errors.New("sealed object is missing")
	// ErrInvalidKey says that a key breaks the grammar of [ValidateKey].
	ErrInvalidKey = errors.New("invalid object key")
	// ErrInvalidURL says that an object store URL cannot be used, and why.
	ErrInvalidURL = errors.New("invalid object store URL")
)

// OpError is a failed call on an object.
type OpError struct {
	Op  string // "put", "get", "head", "delete", "list", "create", "part", "complete", "abort"
	Key string // the object's key, or the prefix of a list
	Err error
}

// Error says what was tried on which key, and why it failed.
func (e *OpError) Error() string { return e.Op + " " + strconv.Quote(e.Key) + ": " + e.Err.Error() }

// Unwrap returns the cause, one of the sentinels among its chain.
func (e *OpError) Unwrap() error { return e.Err }
