package vfs

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Errors beside those of io/fs (fs.ErrNotExist, fs.ErrExist), which every engine wraps as well.
var (
	// ErrFault says that mapped bytes could not be read: the file is shorter than its map, or the disk failed.
	ErrFault = errors.New("memory map: page cannot be read")
	// ErrLocked says that another holder has the lock; errors.AsType finds the [*LockedError].
	ErrLocked = errors.New("locked")
	// ErrNoSpace says that the disk is full.
	ErrNoSpace = errors.New("no space left on device")
	// ErrClosed says that the file, the mapping or the lock was closed before.
	ErrClosed = errors.New("file already closed")
)

// PageSize is the unit in bytes in which files are read, written and torn.
const PageSize = 4096

// FS is a file system. Paths are slash-separated. All methods are safe for concurrent use.
type FS interface {
	// Create makes a new empty file, open for reading and writing, and fails with fs.ErrExist if
	// the name is taken. The name is durable after SyncDir of its folder.
	Create(path string) (File, error)
	// Open opens a file for reading and writing, at its present length.
	Open(path string) (File, error)
	// Remove removes a file or an empty folder; durable after SyncDir of the folder that held it.
	Remove(path string) error
	// Rename moves a file and replaces what had the new name, in one step: after a crash each name
	// shows either the state before or the one behind, never a mixture. Durable after SyncDir of both folders.
	Rename(from, to string) error
	// Link gives a file a second name and fails with fs.ErrExist if that is taken. Durable like Create.
	Link(from, to string) error
	// List returns the names in a folder, sorted.
	List(dir string) ([]string, error)
	// Stat describes a file or folder.
	Stat(path string) (Info, error)
	// MkdirAll makes a folder and those above it that are missing; they are durable when it returns.
	MkdirAll(dir string) error
	// SyncDir makes every name made, moved or removed in the folder so far durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock that the file at path stands for, made if need be, or fails
	// with a [*LockedError] that names the holder. The lock ends with Close or with the process.
	Lock(path string, holder Holder) (Lock, error)
	// FreeSpace returns how many bytes can still be written to the disk that holds the folder.
	FreeSpace(dir string) (int64, error)
}

// File is an open file. ReadAt and WriteAt are safe for concurrent use; WriteAt beyond the end extends the file.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Name is the path that the file was opened by.
	Name() string
	// Sync makes the file's bytes and length durable (fdatasync). An error means that nothing is known
	// of what was written since the last Sync, for ever: do not try again.
	Sync() error
	// WriteZeros is WriteAt of n zeros, for bytes that are not expected to be read before they are written
	// again. After an error any part of them may have been written.
	WriteZeros(off, n int64) error
	// Truncate sets the length. New bytes read as zeros.
	Truncate(size int64) error
	// Fallocate reserves disk space for [off, off+n) within or beyond the present length, which it
	// does not change, so that writing there does not fail for want of space.
	Fallocate(off, n int64) error
	// Size returns the length in bytes.
	Size() (int64, error)
	// NextData returns the first offset ≥ off that may hold a byte other than zero, and the file's
	// length if there is none. An engine may answer off itself, never an offset too far.
	NextData(off int64) (int64, error)
	// Map maps the file at its present length, for reading.
	Map() (Mapping, error)
	// Close closes the file; a mapping of it stays good. Closing again is an error that does no harm.
	Close() error
}

// Mapping is a file in memory. Its bytes leave it by copies alone: the file may shrink or its disk
// fail at any time, and a copy turns that into an error where a slice would kill the process.
type Mapping interface {
	// ReadAt copies len(p) bytes at off, or fails with [ErrFault] or io.EOF.
	io.ReaderAt
	// Len returns the mapped length in bytes.
	Len() int64
	// Unmap ends the mapping. No ReadAt may be running or come later.
	Unmap() error
}

// Info describes a file or folder.
type Info struct {
	Size    int64 // in bytes, 0 for a folder
	Dir     bool
	ModTime time.Time
}

// Holder says who holds a lock, for the person whose second instance is refused.
type Holder struct {
	PID   int
	Since time.Time
	Note  string // what the holder is, "strata server"; one line
}

// String returns the holder as a phrase, "strata server, process 17, since 2026-01-02T03:04:05Z".
func (h Holder) String() string {
	s := fmt.Sprintf("process %d, since %s", h.PID, h.Since.UTC().Format(time.RFC3339))
	if h.Note != "" {
		s = h.Note + ", " + s
	}
	return s
}

// Lock is a lock that is held.
type Lock interface {
	// Close gives the lock back; its file stays. Closing again does nothing.
	Close() error
}

// LockedError says who holds a lock that was asked for.
type LockedError struct {
	Dir    string // the folder that the lock guards
	Path   string // the lock's file
	Holder string // as the holder wrote it; "an unknown process" if it cannot be read
}

// Error names the folder and the holder.
func (e *LockedError) Error() string {
	return fmt.Sprintf("%s is in use by %s (lock file %s)", e.Dir, e.Holder, e.Path)
}

// Unwrap makes the error an [ErrLocked].
func (e *LockedError) Unwrap() error { return ErrLocked }
