package shard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/stratamq/stratamq/internal/failpoint"
	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer/queue"
)

var (
	beforeSnapshot = failpoint.Register("shard/before-snapshot")
	afterSnapshot  = failpoint.Register("shard/after-snapshot")
	beforeTrim     = failpoint.Register("shard/before-trim")
	afterTrim      = failpoint.Register("shard/after-trim")
)

// keepSnapshots is how many snapshots stay: the newest, and one in case that one is damaged.
const keepSnapshots = 2

// runSnapshots does what a roll asks for: a queue file for the segment that became full, and a snapshot, so
// that the next start replays the active segment alone.
func (s *Shard) runSnapshots(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.rolled:
		}
		if err := s.writeQueueFiles(); err != nil {
			s.opts.Logger.Warn("a queue file could not be written; its entries stay in memory", "shard", s.id, "err", err)
		}
		if err := s.writeSnapshot(); err != nil {
			s.opts.Logger.Warn("a snapshot could not be written; a start replays more", "shard", s.id, "err", err)
		}
	}
}

// writeSnapshot takes a snapshot while the shard goes on, and makes it durable.
func (s *Shard) writeSnapshot() error {
	s.snapshotting.Lock()
	defer s.snapshotting.Unlock()
	snap := s.takeSnapshot()
	raw := snap.encode()
	beforeSnapshot.Hit()
	dir := path.Join(s.opts.Dir, snapshotDir)
	err := writeFile(s.opts.FS, dir, snapshotName(snap.Start), func(w io.Writer) error {
		_, err := w.Write(raw)
		return err
	})
	if s.opts.Events.Snapshot != nil {
		s.opts.Events.Snapshot(snap.Start, len(raw), err)
	}
	if err != nil {
		return fmt.Errorf("snapshot at %s: %w", snap.Start, err)
	}
	afterSnapshot.Hit()
	return s.dropSnapshots(dir)
}

// takeSnapshot copies the derived state part by part. A replay from Start repeats what a part has seen of
// later frames, and the parts skip that.
func (s *Shard) takeSnapshot() *snapshot {
	snap := &snapshot{Shard: s.id, Start: s.applied.Load().position}
	snap.Table = s.table.AppendSnapshot(nil)
	for _, p := range s.allProgress() {
		p.mu.Lock()
		snap.Groups = append(snap.Groups, p.mu.AppendSnapshot(nil))
		p.mu.Unlock()
	}
	s.mu.RLock()
	for topic := range s.mu.deleted {
		snap.Deleted = append(snap.Deleted, topic)
	}
	s.mu.RUnlock()
	slices.Sort(snap.Deleted)
	slices.SortFunc(snap.Groups, slices.Compare[[]byte])
	seen := s.seen.Load()
	snap.Highest, snap.FrameEpoch, snap.FrameCRC = seen.end, seen.epoch, seen.crc
	return snap
}

// dropSnapshots removes all but the newest snapshots. A removal that fails is tried again at the next one.
func (s *Shard) dropSnapshots(dir string) error {
	names, err := s.opts.FS.List(dir)
	if err != nil {
		return err
	}
	old := snapshotNames(names)
	for _, name := range old[min(keepSnapshots, len(old)):] {
		if err := s.opts.FS.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// writeQueueFiles writes the queue file of every full segment whose entries are still in memory.
func (s *Shard) writeQueueFiles() error {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	segments := s.table.Segments()
	for _, seg := range segments[:max(len(segments)-1, 0)] {
		if seg.InFile {
			continue
		}
		dir := path.Join(s.opts.Dir, queueDir)
		err := writeFile(s.opts.FS, dir, seg.Base.String(), func(w io.Writer) error {
			_, err := s.table.WriteSegment(seg.Base, w)
			return err
		})
		if err != nil {
			return fmt.Errorf("queue file of segment %s: %w", seg.Base, err)
		}
		file, err := s.openQueueFile(seg.Base)
		if err != nil {
			return fmt.Errorf("queue file of segment %s: %w", seg.Base, err)
		}
		if err := s.table.Attach(file.SegmentFile); err != nil {
			return errors.Join(fmt.Errorf("queue file of segment %s: %w", seg.Base, err), file.Close())
		}
		s.filesMu.Lock()
		s.files[seg.Base] = file
		s.filesMu.Unlock()
	}
	return nil
}

// queueFile is a segment's queue file and the file it reads.
type queueFile struct {
	*queue.SegmentFile
	vfs.File
}

// openQueueFile opens and checks the queue file of a segment.
func (s *Shard) openQueueFile(base message.Position) (*queueFile, error) {
	f, err := s.opts.FS.Open(path.Join(s.opts.Dir, queueDir, base.String()))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	seg, err := queue.OpenSegmentFile(f, size)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if seg.Base() != base {
		return nil, errors.Join(fmt.Errorf("%w: queue file of segment %s is named %s", message.ErrCorrupt, seg.Base(), base), f.Close())
	}
	return &queueFile{SegmentFile: seg, File: f}, nil
}

// trim removes the oldest local segment, which must end at or below the start of a durable snapshot here and
// must be sealed: the caller has seen to that.
func (s *Shard) trim(ctx context.Context, base message.Position) error {
	segments := s.log.Segments()
	if len(segments) == 0 || segments[0].Base != base || segments[0].Active {
		return fmt.Errorf("segment %s is not the oldest full one here", base)
	}
	if err := s.coverBySnapshot(segments[0].End); err != nil {
		return err
	}
	s.rolling.Lock()
	defer s.rolling.Unlock()
	beforeTrim.Hit()
	// Readers are sent to the bucket first; one that is under way keeps its mapping. A trim that failed behind
	// this point has dropped the segment already.
	if s.table.Segments()[0].Base == base {
		if _, err := s.table.Drop(base); err != nil {
			return err
		}
	}
	if err := s.log.Trim(ctx, segments[0].End); err != nil {
		return err
	}
	afterTrim.Hit()
	return s.removeQueueFile(base)
}

// removeQueueFile removes the queue file of a segment that is gone, if there still is one.
func (s *Shard) removeQueueFile(base message.Position) error {
	s.filesMu.Lock()
	file := s.files[base]
	delete(s.files, base)
	s.filesMu.Unlock()
	if file != nil {
		if err := file.Close(); err != nil {
			return err
		}
	}
	err := s.opts.FS.Remove(path.Join(s.opts.Dir, queueDir, base.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// coverBySnapshot makes sure that a readable snapshot here starts at or behind end.
func (s *Shard) coverBySnapshot(end message.Position) error {
	snapshots, err := s.localSnapshots()
	if err != nil {
		return err
	}
	if len(snapshots) > 0 && snapshots[0].Start >= end {
		return nil
	}
	if at := s.applied.Load().position; at < end {
		return fmt.Errorf("nothing behind %s has been applied yet", end)
	}
	return s.writeSnapshot()
}

// writeFile makes a file visible whole: temporary name, sync, rename, sync of the folder.
func writeFile(fsys vfs.FS, dir, name string, fill func(io.Writer) error) error {
	temp := path.Join(dir, name+tempSuffix)
	if err := fsys.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temp)
	if err != nil {
		return err
	}
	w := &offsetWriter{f: f}
	if err := errors.Join(fill(w), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temp, path.Join(dir, name)); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}

// offsetWriter writes a file from its beginning on.
type offsetWriter struct {
	f  vfs.File
	at int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

// readFile reads a whole file.
func readFile(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	raw, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	return raw, errors.Join(err, f.Close())
}
