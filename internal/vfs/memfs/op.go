package memfs

import (
	"errors"
	"fmt"
)

// Errors of a file system that was told to fail.
var (
	// ErrCrashed is the answer of every call on a file system that was stopped.
	ErrCrashed = errors.New("injected: file system stopped")
	// ErrInjected is for hooks that need an error of no particular kind.
	ErrInjected = errors.New("injected: input/output error")
)

// Kind names a call.
type Kind uint8

// The kinds of calls.
const (
	OpCreate Kind = iota
	OpOpen
	OpRemove
	OpRename
	OpLink
	OpList
	OpStat
	OpMkdirAll
	OpSyncDir
	OpLock
	OpFreeSpace
	OpRead
	OpWrite
	OpSync
	OpTruncate
	OpFallocate
	OpSize
	OpNextData
	OpMap
	OpMapRead
	OpClose
	opEnd
)

var kindNames = [opEnd]string{
	"create", "open", "remove", "rename", "link", "list", "stat", "mkdirall", "syncdir", "lock", "freespace",
	"read", "write", "sync", "truncate", "fallocate", "size", "nextdata", "map", "mapread", "close",
}

// String returns the kind as a word.
func (k Kind) String() string {
	if k < opEnd {
		return kindNames[k]
	}
	return fmt.Sprintf("op-%d", uint8(k))
}

// Kinds returns all kinds.
func Kinds() []Kind {
	kinds := make([]Kind, opEnd)
	for i := range kinds {
		kinds[i] = Kind(i)
	}
	return kinds
}

// Changes reports whether calls of this kind change what a program or the disk sees.
func (k Kind) Changes() bool {
	switch k {
	case OpCreate, OpRemove, OpRename, OpLink, OpMkdirAll, OpSyncDir, OpWrite, OpSync, OpTruncate, OpFallocate:
		return true
	case OpOpen, OpList, OpStat, OpLock, OpFreeSpace, OpRead, OpSize, OpNextData, OpMap, OpMapRead, OpClose, opEnd:
	}
	return false
}

// Op is a call that is about to happen.
type Op struct {
	Kind Kind
	Path string
	Off  int64
	Len  int // bytes to read or write
}

// String returns the call on one line.
func (o Op) String() string {
	s := o.Kind.String() + " " + o.Path
	switch o.Kind {
	case OpRead, OpWrite, OpMapRead:
		s += fmt.Sprintf(" [%d, %d)", o.Off, o.Off+int64(o.Len))
	case OpTruncate, OpNextData:
		s += fmt.Sprintf(" %d", o.Off)
	default:
	}
	return s
}

// Fault is what a hook makes of a call; the zero value lets it happen.
type Fault struct {
	Err    error
	Effect bool // the call takes effect although it answers Err
	Short  int  // with Err, a write leaves its first Short bytes
}

// Hook sees every call before it happens. It runs on the caller's goroutine, holding no lock of
// the file system; it may block, and it may call [FS.Stop].
type Hook func(Op) Fault
