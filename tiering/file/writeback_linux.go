package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// writeBack waits until the bytes [off, off+n) have gone to the device. It commits no journal, which a log on the same
// file system would have to wait for, and makes nothing durable: that takes a sync.
func writeBack(f *os.File, off, n int64) error {
	const flags = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	err := unix.SyncFileRange(int(f.Fd()), off, n, flags)
	if err == unix.EINVAL || err == unix.ENOSYS || err == unix.ESPIPE {
		return nil // the file system cannot; the sync at the end does it all
	}
	return err
}
