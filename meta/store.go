package meta

import (
	"context"
	"fmt"
)

// MaxValueLen bounds an encoded envelope, in bytes.
const MaxValueLen = 512 << 10

// MaxDataLen bounds the data inside an envelope, in bytes: what is left for it beside the
// envelope's own fields and the longest writer.
const MaxDataLen = MaxValueLen - envelopeHeaderLen - maxWriterLen - envelopeCRCLen

// MaxKeyLen bounds a key before it is escaped, in bytes. The escaped form may be three times as
// long and still fits a NATS protocol line of 4 KiB.
const MaxKeyLen = 512

// Value is what a key had when it was read.
type Value struct {
	Envelope

	// Revision names this write of this key; it is never 0, and a later write of the key has a larger one.
	Revision uint64
}

// EventType says what a watch saw.
type EventType uint8

// The event types.
const (
	EventPut     EventType = iota + 1 // Key has Value
	EventDelete                       // Key has no value any more
	EventDamaged                      // Key has a value that failed its checksum
	EventSynced                       // every value that was there when the watch began has been sent
)

// String returns the type's name.
func (t EventType) String() string {
	switch t {
	case EventPut:
		return "put"
	case EventDelete:
		return "delete"
	case EventDamaged:
		return "damaged"
	case EventSynced:
		return "synced"
	default:
		return fmt.Sprintf("event-type-%d", uint8(t))
	}
}

// Event is one hint of a watch. Its data belongs to the receiver.
type Event struct {
	Type     EventType
	Key      string
	Revision uint64 // of the write or the deletion; 0 for EventSynced
	Value    Value  // for EventPut
}

// Store is what an engine does. Keys are any non-empty text of at most [MaxKeyLen] bytes; an engine
// escapes them as it must. Data that goes in is borrowed until the call returns, data that comes
// out belongs to the caller. All methods are safe for concurrent use.
type Store interface {
	// Get reads a key. It fails with [ErrNotFound], [ErrDamaged] or [ErrUnavailable].
	Get(ctx context.Context, bucket Bucket, key string) (Value, error)

	// Create writes a key that has no value, and returns the revision. It fails with [ErrConflict] if
	// there is a value, with [ErrTooLarge], [ErrUnavailable] or [ErrUnknown].
	Create(ctx context.Context, bucket Bucket, key string, e Envelope) (uint64, error)

	// Update replaces the value that has this revision, and returns the new revision. It fails as
	// Create does; [ErrConflict] also says that there is no value.
	Update(ctx context.Context, bucket Bucket, key string, e Envelope, revision uint64) (uint64, error)

	// Delete removes the value that has this revision. It fails as Update does.
	Delete(ctx context.Context, bucket Bucket, key string, revision uint64) error

	// Watch sends every value of a listable bucket, then [EventSynced], then changes. Intermediate
	// values of a key may be skipped, and a deletion may be sent of a key that was never seen. The channel closes when ctx ends, when the store closes, or
	// when the watch is lost; the watcher then reads again what it needs.
	Watch(ctx context.Context, bucket Bucket) (<-chan Event, error)

	// Keys lists the keys of a listable bucket, sorted; for others it fails with [errors.ErrUnsupported].
	Keys(ctx context.Context, bucket Bucket) ([]string, error)

	// Close ends all watches and releases the store. It is idempotent.
	Close() error
}

// CheckKey reports why bucket and key cannot name a value, or nil.
func CheckKey(bucket Bucket, key string) error {
	if !bucket.Valid() {
		return fmt.Errorf("%w: bucket %q", ErrInvalid, string(bucket))
	}
	if key == "" {
		return fmt.Errorf("%w: empty key in bucket %s", ErrInvalid, bucket)
	}
	if len(key) > MaxKeyLen {
		return fmt.Errorf("%w: key of %d bytes in bucket %s, at most %d", ErrTooLarge, len(key), bucket, MaxKeyLen)
	}
	return nil
}
