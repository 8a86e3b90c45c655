package osfs

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// directAlign is what direct I/O wants offsets, lengths and memory to be multiples of, on every disk with
// sectors of up to 4 KiB.
const directAlign = 4 << 10

// zerosStep is how many bytes one write takes at most.
const zerosStep = 1 << 20

var zeros = alignedZeros()

// alignedZeros returns zerosStep bytes at a multiple of directAlign. The collector moves nothing, so they stay there.
func alignedZeros() []byte {
	raw := make([]byte, zerosStep+directAlign)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % directAlign
	return raw[skip : skip+zerosStep]
}

// WriteZeros writes past the page cache where it can: zeros that are written ahead and not read would
// fill the cache with pages, and making those costs six times what the write itself does.
func (f *file) WriteZeros(off, n int64) error {
	write := f.WriteAt
	if direct := f.openDirect(); direct != nil && off%directAlign == 0 && n%directAlign == 0 {
		write = func(p []byte, off int64) (int, error) {
			done, err := direct.WriteAt(p, off)
			if errors.Is(err, unix.EINVAL) { // the disk wants another alignment
				return f.WriteAt(p, off)
			}
			return done, wrap(err)
		}
	}
	for end := off + n; off < end; {
		done, err := write(zeros[:min(zerosStep, end-off)], off)
		if err != nil {
			return err
		}
		off += int64(done)
	}
	return nil
}

// openDirect returns a handle for direct I/O on the same file, or nil if its file system has none. It is
// found by its descriptor: the name may mean another file by now.
func (f *file) openDirect() *os.File {
	f.direct.once.Do(func() {
		// Why there is none does not matter, the page cache does as well.
		_ = f.control("open", func(fd int) error {
			handle, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|unix.O_DIRECT, 0)
			if err == nil {
				f.direct.file = handle
			}
			return err
		})
	})
	return f.direct.file
}
