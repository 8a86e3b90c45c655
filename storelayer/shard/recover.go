package shard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/group"
	"github.com/stratamq/stratamq/storelayer/queue"
)

// errNoStart says that the log begins behind everything that could explain it.
var errNoStart = errors.New("no snapshot reaches back to where the local log begins: neither here nor in the bucket")

// errOtherHistory says that a snapshot describes a log that is not this one.
var errOtherHistory = errors.New("snapshot is of another history")

// recover opens the log, brings the derived state back, and begins an epoch.
func (s *Shard) recover(ctx context.Context) error {
	started := s.opts.Clock.Boot()
	snapshots, err := s.localSnapshots()
	if err != nil {
		return err
	}
	var verifyFrom message.Position
	if len(snapshots) > 0 {
		verifyFrom = snapshots[0].Start
	}
	var recovered commitlog.Recovery
	events := s.opts.Events.Log
	events.Recovered = func(r commitlog.Recovery) {
		recovered = r
		if s.opts.Events.Log.Recovered != nil {
			s.opts.Events.Log.Recovered(r)
		}
	}
	s.log, err = commitlog.Open(ctx, commitlog.Options{
		FS: s.opts.FS, Dir: path.Join(s.opts.Dir, logDir), Clock: s.opts.Clock, Rand: s.opts.Rand, Shard: s.id,
		Create: s.opts.Create, VerifyFrom: verifyFrom, SegmentSize: s.opts.SegmentSize,
		Apply: s.apply, Events: events,
	})
	if err != nil {
		return err
	}
	r, err := s.rebuild(ctx, snapshots)
	if err != nil {
		return err
	}
	s.encoding.ended = maps.Clone(s.mu.deleted)
	if s.epoch, err = s.opts.NextEpoch(ctx, recovered.LastEpoch); err != nil {
		return fmt.Errorf("next epoch: %w", err)
	}
	s.disk.check()
	begin := group.EpochStartRecord{Epoch: s.epoch, LastEpoch: recovered.LastEpoch, LastLease: s.applying.lastLease}
	if err := s.log.Start(ctx, s.epoch, &stateBatch{shard: s, records: []message.Record{
		{Type: message.RecordEpochStart, Body: begin.AppendTo(nil)},
	}}); err != nil {
		return fmt.Errorf("begin epoch %s: %w", s.epoch, err)
	}
	r.Replayed, r.Took = recovered.End, s.opts.Clock.Boot()-started
	if s.opts.Events.Recovered != nil {
		s.opts.Events.Recovered(r)
	}
	return nil
}

// rebuild tries the snapshots, newest first, then the bucket's, then the log alone.
func (s *Shard) rebuild(ctx context.Context, local []*snapshot) (Recovery, error) {
	for _, snap := range local {
		r, err := s.replay(ctx, snap)
		if _, damaged := errors.AsType[*commitlog.DamageError](err); damaged || !errors.Is(err, errOtherHistory) && !errors.Is(err, message.ErrCorrupt) {
			return r, err
		}
		s.opts.Logger.Warn("a snapshot does not fit the log and is passed over", "shard", s.id, "start", snap.Start, "err", err)
	}
	if s.log.Segments()[0].Base == 0 {
		return s.replay(ctx, nil)
	}
	if s.opts.Bucket == nil {
		return Recovery{}, errNoStart
	}
	raw, err := s.opts.Bucket.Snapshot(ctx)
	if err != nil {
		return Recovery{}, fmt.Errorf("snapshot of the last seal: %w", err)
	}
	if raw == nil {
		return Recovery{}, errNoStart
	}
	snap, err := decodeSnapshot(raw)
	if err != nil {
		return Recovery{}, fmt.Errorf("snapshot of the last seal: %w", err)
	}
	return s.replay(ctx, snap)
}

// replay makes the derived state from a snapshot, which may be nil, and the local log.
func (s *Shard) replay(ctx context.Context, snap *snapshot) (Recovery, error) {
	segments := s.log.Segments()
	first, end := segments[0].Base, s.log.Watermark()
	r := Recovery{HadSnapshot: snap != nil}
	var from message.Position // groups are current up to here
	if snap == nil {
		s.table = queue.NewTable(first)
		s.mu.groups = make(map[group.Key]*progress)
		s.mu.deleted = make(map[message.TopicID]struct{})
	} else {
		if snap.Shard != s.id || snap.Start < first || snap.Highest > end {
			return r, fmt.Errorf("%w: it covers [%s, %s) of shard %s, the log holds [%s, %s)",
				errOtherHistory, snap.Start, snap.Highest, snap.Shard, first, end)
		}
		if err := s.load(snap, first); err != nil {
			return r, err
		}
		from, r.Snapshot = snap.Start, snap.Start
	}
	proven := snap == nil
	s.applying.segment = first
	s.activeMessages.Store(0)
	for _, seg := range segments {
		if seg.Base != s.applying.segment {
			if err := s.table.Roll(seg.Base); err != nil {
				return r, err
			}
			s.applying.segment = seg.Base
			s.activeMessages.Store(0)
		}
		// A queue file spares the frames only where the snapshot knows what else they said.
		if seg.End <= from && !seg.Active {
			attached, err := s.attach(seg)
			if err != nil {
				return r, err
			}
			if attached {
				continue
			}
			r.Rebuilt++
		}
		err := s.log.Frames(ctx, seg.Base, seg.End, func(f commitlog.Frame) error {
			if snap != nil && f.End == snap.Highest {
				if f.Epoch != snap.FrameEpoch || f.CRC != snap.FrameCRC {
					return fmt.Errorf("%w: the frame that ends at %s is another one", errOtherHistory, f.End)
				}
				proven = true
			}
			r.Records += int64(f.Count)
			return s.applyFrame(f, f.End > from)
		})
		if err != nil {
			return r, err
		}
	}
	if !proven {
		return r, fmt.Errorf("%w: no frame ends at %s", errOtherHistory, snap.Highest)
	}
	clear(s.applying.touched)
	return r, s.removeStrayQueueFiles(segments)
}

// removeStrayQueueFiles removes what a crash left of segments that are gone, and of files that were never whole.
func (s *Shard) removeStrayQueueFiles(segments []commitlog.SegmentInfo) error {
	dir := path.Join(s.opts.Dir, queueDir)
	names, err := s.opts.FS.List(dir)
	if err != nil {
		return err
	}
	known := make(map[string]bool, len(segments))
	for _, seg := range segments {
		known[seg.Base.String()] = true
	}
	for _, name := range names {
		if known[name] {
			continue
		}
		if err := s.opts.FS.Remove(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// load takes the parts of a snapshot.
func (s *Shard) load(snap *snapshot, first message.Position) error {
	table, rest, err := queue.DecodeSnapshot(snap.Table, first)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes behind the queues of a snapshot", message.ErrCorrupt, len(rest))
	}
	groups := make(map[group.Key]*progress, len(snap.Groups))
	for _, part := range snap.Groups {
		g, rest, err := group.DecodeSnapshot(part)
		if err != nil {
			return err
		}
		if len(rest) != 0 {
			return fmt.Errorf("%w: %d bytes behind a group of a snapshot", message.ErrCorrupt, len(rest))
		}
		groups[g.Key()] = newProgress(g)
	}
	deleted := make(map[message.TopicID]struct{}, len(snap.Deleted))
	for _, topic := range snap.Deleted {
		deleted[topic] = struct{}{}
	}
	s.table, s.mu.groups, s.mu.deleted = table, groups, deleted
	return nil
}

// attach puts a full segment's queue file into the table, if there is a good one. A file that is missing or
// damaged costs time, nothing else: the frames have everything.
func (s *Shard) attach(seg commitlog.SegmentInfo) (bool, error) {
	file, err := s.openQueueFile(seg.Base)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.opts.Logger.Warn("a queue file is made again from the log", "shard", s.id, "segment", seg.Base, "err", err)
		}
		return false, nil
	}
	if err := s.table.Attach(file.SegmentFile); err != nil {
		return false, errors.Join(err, file.Close())
	}
	s.files[seg.Base] = file
	return true, nil
}

// localSnapshots decodes the snapshots here, newest first. One that does not decode is only slower to do without.
func (s *Shard) localSnapshots() ([]*snapshot, error) {
	dir := path.Join(s.opts.Dir, snapshotDir)
	names, err := s.opts.FS.List(dir)
	if err != nil {
		return nil, err
	}
	var found []*snapshot
	for _, name := range snapshotNames(names) {
		snap, err := s.readSnapshot(name)
		if err != nil {
			s.opts.Logger.Warn("a snapshot cannot be read and is passed over", "shard", s.id, "name", name, "err", err)
			continue
		}
		found = append(found, snap)
	}
	return found, nil
}

func (s *Shard) readSnapshot(name string) (*snapshot, error) {
	raw, err := readFile(s.opts.FS, path.Join(s.opts.Dir, snapshotDir, name))
	if err != nil {
		return nil, err
	}
	return decodeSnapshot(raw)
}
