package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
)

// SealRecord is a message of the log as an offloader wants it. Its bytes and keys are valid until the next one.
type SealRecord struct {
	Queue     message.Queue
	Offset    message.Offset
	StoreTime int64 // Unix milliseconds
	Entry     message.Entry
	Keys      []uint64 // [message.IndexKey] of its id and of each of its keys
	Bytes     []byte   // whole, envelope included
}

// FullSegments returns the local segments that take no more frames and lie below the watermark, oldest first.
func (s *Shard) FullSegments() []commitlog.SegmentInfo {
	segments := s.log.Segments()
	full := segments[:0]
	for _, seg := range segments {
		if !seg.Active {
			full = append(full, seg)
		}
	}
	return full
}

// Messages yields the messages of the full segment at base, in log order, each checked by its frame's
// checksum, and reads by pread. The first error ends the sequence.
func (s *Shard) Messages(ctx context.Context, base message.Position) iter.Seq2[SealRecord, error] {
	return func(yield func(SealRecord, error) bool) {
		end, err := s.fullSegmentEnd(base)
		if err != nil {
			yield(SealRecord{}, err)
			return
		}
		stopped := false
		var r SealRecord
		err = s.log.Frames(ctx, base, end, func(f commitlog.Frame) error {
			return f.All(func(at message.Position, rec message.Record, size int) error {
				if rec.Type != message.RecordMessage {
					return nil
				}
				m, err := message.DecodeStored(rec.Body)
				if err != nil {
					return err
				}
				from := at - f.FirstRecord()
				r.Queue, r.Offset, r.StoreTime = message.Queue{Topic: rec.Topic, ID: m.Queue.ID}, m.Offset, m.StoreTime
				r.Entry, r.Keys = describe(r.Keys[:0], at, size, r.Queue, &m)
				r.Bytes = f.Records[from : from+message.Position(size)]
				if !yield(r, nil) {
					stopped = true
					return errStopped
				}
				return nil
			})
		})
		if err != nil && !stopped {
			yield(SealRecord{}, err)
		}
	}
}

// errStopped ends a walk over frames because its reader has enough.
var errStopped = errors.New("stopped by the reader")

func (s *Shard) fullSegmentEnd(base message.Position) (message.Position, error) {
	for _, seg := range s.FullSegments() {
		if seg.Base == base {
			return seg.End, nil
		}
	}
	return 0, fmt.Errorf("no full segment begins at %s", base)
}

// ReadLog fills dst with the log's bytes from position at on, all of which lie in one local segment. It does
// not check them; a record's own frame was checked by [Shard.Messages].
func (s *Shard) ReadLog(dst []byte, at message.Position) error {
	got, err := s.log.Read(dst[:0], at, len(dst))
	if err != nil {
		return err
	}
	if len(got) != len(dst) {
		return fmt.Errorf("%w: %d of %d bytes at %s", message.ErrCorrupt, len(got), len(dst), at)
	}
	return nil
}

// SnapshotBehind returns a snapshot that is durable here and whose replay starts at or behind end, and where that is.
func (s *Shard) SnapshotBehind(ctx context.Context, end message.Position) (message.Position, []byte, error) {
	if err := s.waitApplied(ctx, end); err != nil {
		return 0, nil, err
	}
	if err := s.coverBySnapshot(end); err != nil {
		return 0, nil, err
	}
	snapshots, err := s.localSnapshots()
	if err != nil {
		return 0, nil, err
	}
	if len(snapshots) == 0 || snapshots[0].Start < end {
		return 0, nil, fmt.Errorf("no snapshot here starts at or behind %s", end)
	}
	raw, err := readFile(s.opts.FS, path.Join(s.opts.Dir, snapshotDir, snapshotName(snapshots[0].Start)))
	return snapshots[0].Start, raw, err
}

// appliedPoll is how often a snapshot that must wait looks again.
const appliedPoll = 10 * time.Millisecond

// waitApplied waits until a frame at or behind end has been applied. An idle log gets one: a segment becomes
// full because a frame did not fit, so the frame behind it is on its way already.
func (s *Shard) waitApplied(ctx context.Context, end message.Position) error {
	for s.applied.Load().position < end {
		timer := s.opts.Clock.NewTimer(appliedPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C():
		}
	}
	return nil
}

// Sealed says that everything up to this sequence of the manifest can be found in the bucket: the shard tells its
// readers, who need a manifest that new before they read cold.
func (s *Shard) Sealed(sequence uint64) {
	for {
		now := s.sealSequence.Load()
		if sequence <= now || s.sealSequence.CompareAndSwap(now, sequence) {
			return
		}
	}
}

// Trim removes the oldest local segment, which begins at base and is sealed. A segment that is gone is no error.
func (s *Shard) Trim(ctx context.Context, base message.Position) error {
	segments := s.log.Segments()
	if len(segments) == 0 {
		return storelayer.ErrClosed
	}
	if segments[0].Base > base {
		return s.removeQueueFile(base)
	}
	return s.trim(ctx, base)
}

// Segments returns all local segments, oldest first; the last one takes the frames.
func (s *Shard) Segments() []commitlog.SegmentInfo { return s.log.Segments() }
