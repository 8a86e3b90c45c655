package tiering

import (
	"context"
	"hash/crc32"
	"io"
	"iter"
)

// Limits of parts, those of S3, which the tightest servers keep as well.
const (
	// MinPartSize is the least size in bytes of every part but the last.
	MinPartSize = 5 << 20
	// MaxParts is the most parts of one upload.
	MaxParts = 10_000
)

// ObjectStore keeps immutable objects under keys. All methods may be called from many goroutines.
//
// Keys follow [ValidateKey]; no key may be a directory of another ("a" beside "a/b"), which directories
// cannot hold. Errors wrap the sentinels of this package. An error of Put, Complete or Delete means
// "unknown", except for ErrExists, ErrCorrupt, ErrDenied, ErrNoBucket, ErrInvalidKey and ErrUnsupported:
// the object may appear, or vanish, even after the call has returned.
type ObjectStore interface {
	// Put stores size bytes of body under key, whole or not at all. Body is read from offset 0, more
	// than once when an attempt is repeated, and not after Put has returned. The object is on stable
	// storage when Put returns nil. Without IfAbsent an object that exists is replaced.
	Put(ctx context.Context, key string, body io.ReaderAt, size int64, opts PutOptions) error

	// Create begins an object that is uploaded in parts, in any order and side by side. Nothing is
	// visible before Complete. PartSize in bytes, at least [MinPartSize], is the size of all parts but the
	// last. The caller ends every upload by Complete or Abort; one that was forgotten costs space until
	// the store's own rules remove it.
	Create(ctx context.Context, key string, partSize int64) (Upload, error)

	// GetRange fills dst with the object's bytes [off, off+len(dst)). It gives exactly those or an error;
	// dst is undefined after one. A range that reaches behind the end fails with ErrCorrupt.
	GetRange(ctx context.Context, key string, dst []byte, off int64) error

	// Head describes an object.
	Head(ctx context.Context, key string) (ObjectInfo, error)

	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, key string) error

	// List yields the objects whose key has the prefix and sorts behind after, in order of the keys'
	// bytes. Prefix is any text that begins a key ("" for all). The first error ends the sequence.
	List(ctx context.Context, prefix, after string) iter.Seq2[ObjectInfo, error]

	// String names the store for people, without secrets.
	String() string

	// Close lets go of connections. Calls after it fail. It is idempotent.
	Close() error
}

// Upload is an object that is being made of parts. Part may be called from many goroutines.
type Upload interface {
	// Part uploads the part with that number, from 1 to [MaxParts]; body is borrowed until Part returns.
	// All parts but the last have the part size, the last has 1 byte up to it. The driver adds a checksum
	// that the server compares, where it does. A part may be uploaded again, with the same bytes.
	Part(ctx context.Context, number int, body []byte) error

	// Complete makes the object of the parts 1 … n, all of which have been uploaded. Opts.CRC32C, if there,
	// is that of the whole object.
	Complete(ctx context.Context, n int, opts PutOptions) error

	// Abort gives up and frees the space of the parts. After a successful Complete it does nothing.
	Abort(ctx context.Context) error
}

// PutOptions ask for more than "store these bytes". The zero value asks for nothing.
type PutOptions struct {
	// IfAbsent makes the put fail with ErrExists if the key is taken: of any number of callers exactly
	// one wins, if the server is one that [Capabilities] says so of. A driver that repeated an attempt and
	// then finds its own bytes stored reports success.
	IfAbsent bool
	// HasCRC32C says that CRC32C is set.
	HasCRC32C bool
	// CRC32C is the checksum of all bytes ([Checksum]). Bytes that do not match are refused with ErrCorrupt,
	// by the driver or by the server.
	CRC32C uint32
}

// ObjectInfo describes a stored object.
type ObjectInfo struct {
	Key  string
	Size int64  // bytes
	ETag string // the store's own version tag, opaque; "" if it has none
	// HasCRC32C says that the store gave a checksum of the whole object; lists never do.
	HasCRC32C bool
	CRC32C    uint32
}

// Capabilities say what a store really guarantees, as tiering/probe found it. The zero value trusts
// nothing: unique keys alone, and everything written is read back.
type Capabilities struct {
	// ConditionalPut: Put with IfAbsent has exactly one winner.
	ConditionalPut bool
	// ConditionalComplete: so has Complete.
	ConditionalComplete bool
	// ChecksumVerified: bytes that do not match their CRC32C are refused, whole puts and parts.
	ChecksumVerified bool
	// ChecksumReturned: Head gives the CRC32C of an object that was put with one.
	ChecksumReturned bool
	// ListAfterPut: a list begun after a put shows the object, one after a delete does not.
	ListAfterPut bool
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC32C of b, the checksum of all objects.
func Checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// UpdateChecksum continues crc, the CRC32C of what came before, by b.
func UpdateChecksum(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }
