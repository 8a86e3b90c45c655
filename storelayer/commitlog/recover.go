package commitlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stratamq/stratamq/message"
)

// recover reads the log, refuses it if it is damaged, and makes what is left of it durable.
//
// Every step may be interrupted and done again: the cut leaves a torn end that is still torn until
// its header page is gone, and writing a kept frame again writes the bytes that it has.
func (l *Log) recover(ctx context.Context) (Recovery, error) {
	segments, err := l.openSegments(ctx)
	l.setSegments(segments) // so that whatever was opened is closed if recovery fails
	if err != nil {
		return Recovery{}, err
	}
	if len(segments) == 0 {
		return l.createFirst()
	}
	slices.SortFunc(segments, func(a, b *segment) int { return cmp.Compare(a.header.base, b.header.base) })
	c, cause, err := l.verify(ctx, segments)
	if err != nil {
		return Recovery{}, err
	}
	last := segments[len(segments)-1]
	proven := max(c.committed, last.header.base) // a segment is begun when all before it is durable
	if bugCutAtWatermark && proven < c.next {
		c = chain{next: last.header.base, crc: last.header.prevCRC}
		if cause, err = l.verifySegment(ctx, last, &c, proven); err != nil {
			return Recovery{}, err
		}
	}
	cut, err := l.cutTail(last, c.next, cause)
	if err != nil {
		return Recovery{}, err
	}
	if err := l.resync(last, proven, c.next); err != nil {
		return Recovery{}, err
	}
	l.tail = c
	l.filler.follow(last)
	last.filled.Store(last.offset(c.next))
	last.need.Store(last.offset(c.next))
	for _, s := range segments[max(0, len(segments)-2):] {
		s.mapIn()
	}
	return Recovery{
		First: segments[0].header.base, End: c.next, Watermark: proven, Cut: cut,
		Segments: len(segments), LastEpoch: c.epoch,
	}, nil
}

// createFirst begins a log in an empty folder.
func (l *Log) createFirst() (Recovery, error) {
	if !l.opts.Create {
		return Recovery{}, fmt.Errorf("%w in %s", ErrNotFound, l.opts.Dir)
	}
	base := l.opts.Base
	s, err := l.createSegment(l.newHeader(base, 0, l.opts.SegmentSize), nil)
	if err != nil {
		return Recovery{}, err
	}
	l.setSegments([]*segment{s})
	l.tail = chain{next: base, committed: base}
	l.filler.follow(s)
	return Recovery{First: base, End: base, Watermark: base, Segments: 1}, nil
}

// verify follows the chain through the segments and returns its end and why it ends there.
func (l *Log) verify(ctx context.Context, segments []*segment) (c chain, cause, err error) {
	known := false // whether c is the end of the segment before
	for i, s := range segments {
		if !known {
			c = chain{next: s.header.base, crc: s.header.prevCRC, maxTime: c.maxTime}
		} else if err := follows(segments[i-1], s, &c); err != nil {
			return c, nil, err
		}
		// The last two are never spared: the newest may hold no frame yet, and the epoch stands in frames.
		if i < len(segments)-2 && segments[i+1].header.base <= l.opts.VerifyFrom {
			known = false
			continue
		}
		known = true
		cause, err = l.verifySegment(ctx, s, &c, s.room())
		if err != nil {
			return c, nil, err
		}
		if i < len(segments)-1 && c.next != segments[i+1].header.base {
			return c, nil, &DamageError{
				Path: s.path, Position: c.next, Err: cause,
				Proof: fmt.Sprintf("the next segment begins at position %d", uint64(segments[i+1].header.base)),
			}
		}
	}
	last := segments[len(segments)-1]
	return c, cause, l.provenBeyond(last, c.next, cause)
}

// follows checks the seam between two segments.
func follows(before, s *segment, c *chain) error {
	var err error
	switch {
	case s.header.base != c.next:
		err = fmt.Errorf("%w: segment begins at position %d, the one before ends at %d",
			message.ErrCorrupt, uint64(s.header.base), uint64(c.next))
	case s.header.prevCRC != c.crc:
		err = fmt.Errorf("%w: segment follows a frame with checksum %08x, the one before ends with %08x",
			message.ErrCorrupt, s.header.prevCRC, c.crc)
	default:
		return nil
	}
	return &DamageError{
		Path: s.path, Position: s.header.base, Err: err,
		Proof: "the segment before is " + before.path,
	}
}

// verifySegment follows the chain through one segment up to the position upTo or the first frame
// that is not good, and returns what is wrong there. A frame that is good in itself but does not follow is damage at once.
func (l *Log) verifySegment(ctx context.Context, s *segment, c *chain, upTo message.Position) (cause, err error) {
	r := &frameReader{seg: s, limit: s.length}
	for c.next < upTo {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		h, _, crc, err := r.frame(c.next)
		if errors.Is(err, message.ErrCorrupt) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		if err := c.check(&h); err != nil {
			return nil, &DamageError{Path: s.path, Position: c.next, Err: err, Proof: "the frame itself is good"}
		}
		c.advance(&h, crc)
	}
	return fmt.Errorf("%w: the frames end here", message.ErrCorrupt), nil
}

// provenBeyond looks behind the first bad frame of the last segment for the header of another one.
// Its header alone proves that everything below it was durable: it was written after that sync.
func (l *Log) provenBeyond(s *segment, bad message.Position, cause error) error {
	r := &frameReader{seg: s, limit: s.length}
	for p := bad + pageSize; p < s.room(); p += pageSize {
		off, err := s.file.NextData(s.offset(p))
		if err != nil {
			return fmt.Errorf("scan segment %s: %w", s.path, err)
		}
		if off >= s.length {
			return nil
		}
		p = s.header.base + message.Position(off&^(pageSize-1)-pageSize)
		_, err = r.header(p)
		if err == nil {
			return &DamageError{
				Path: s.path, Position: bad, Err: cause,
				Proof: fmt.Sprintf("the frame at position %d was written after it was synced", uint64(p)),
			}
		}
		if !errors.Is(err, message.ErrCorrupt) {
			return err
		}
	}
	return nil
}

// cutTail zeroes the header page where the next frame will lie and makes that durable, so that no
// part of the torn frame can ever be taken for the frame that will be written there. Pages behind
// hold no header (provenBeyond looked), and the filler writes zeros over them. It returns how many
// bytes of the torn end were found.
func (l *Log) cutTail(s *segment, end message.Position, cause error) (int64, error) {
	if end >= s.room() {
		return 0, nil
	}
	torn, err := tornBytes(s, end)
	if err != nil || torn == 0 {
		return 0, err
	}
	fpBeforeCut.Hit()
	if _, err := s.file.WriteAt(make([]byte, pageSize), s.offset(end)); err != nil {
		return 0, fmt.Errorf("cut torn tail (%w) of segment %s: %w", cause, s.path, err)
	}
	fpBeforeCutSync.Hit()
	if err := s.file.Sync(); err != nil {
		return 0, fmt.Errorf("cut torn tail (%w) of segment %s: %w", cause, s.path, err)
	}
	fpAfterCutSync.Hit()
	return torn, nil
}

// tornBytes measures from end to the last byte that is not zero.
func tornBytes(s *segment, end message.Position) (int64, error) {
	r := &frameReader{seg: s, limit: s.length}
	start := s.offset(end)
	var torn int64
	for off := start; off < s.length; {
		next, err := s.file.NextData(off)
		if err != nil {
			return 0, fmt.Errorf("scan segment %s: %w", s.path, err)
		}
		if next >= s.length {
			break
		}
		chunk, err := r.window(next, min(readStep, s.length-next))
		if err != nil {
			return 0, err
		}
		if len(chunk) == 0 {
			break
		}
		if used := bytes.TrimRight(chunk, "\x00"); len(used) > 0 {
			torn = next + int64(len(used)) - start
		}
		off = next + int64(len(chunk))
	}
	return torn, nil
}

// resync writes what lies above the proven watermark again and syncs it, and the folder. After a
// kill it may be in the page cache only; after a sync that failed the page cache may even count it
// as clean, so that a sync alone would not write it.
func (l *Log) resync(s *segment, proven, end message.Position) error {
	fpBeforeResync.Hit()
	if !bugServeBeforeResync {
		if err := rewrite(s, s.offset(proven), s.offset(end)); err != nil {
			return fmt.Errorf("make the last frame of segment %s durable: %w", s.path, err)
		}
	}
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		return fmt.Errorf("sync log folder: %w", err)
	}
	fpAfterResync.Hit()
	return nil
}

// rewrite writes [from, to) of the file over itself and syncs.
func rewrite(s *segment, from, to int64) error {
	for from < to {
		chunk := make([]byte, min(readStep, to-from))
		if _, err := s.file.ReadAt(chunk, from); err != nil {
			return err
		}
		if _, err := s.file.WriteAt(chunk, from); err != nil {
			return err
		}
		from += int64(len(chunk))
	}
	return s.file.Sync()
}
