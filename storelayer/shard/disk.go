package shard

import (
	"fmt"
	"sync/atomic"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/storelayer"
)

// diskMark refuses appends while the disk has too little free space: consumers go on, so that what is
// sealed and trimmed can make room.
type diskMark struct {
	fs      vfs.FS
	dir     string
	mark    int64
	changed func(low bool, free int64)
	free    atomic.Int64
	isLow   atomic.Bool
}

func newDiskMark(fs vfs.FS, dir string, mark int64, changed func(bool, int64)) *diskMark {
	return &diskMark{fs: fs, dir: dir, mark: mark, changed: changed}
}

// check measures the disk. A disk that cannot be measured counts as full: to go on blindly could end in a
// failed write, which costs the shard its epoch.
func (d *diskMark) check() {
	free, err := d.fs.FreeSpace(d.dir)
	if err != nil {
		free = 0
	}
	d.free.Store(free)
	low := free < d.mark
	if d.isLow.Swap(low) != low && d.changed != nil {
		d.changed(low, free)
	}
}

func (d *diskMark) low() bool { return d.isLow.Load() }

func (d *diskMark) err() error {
	return fmt.Errorf("%w: %d bytes are free, the mark is %d", storelayer.ErrDiskMark, d.free.Load(), d.mark)
}
