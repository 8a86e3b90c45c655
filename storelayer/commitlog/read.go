package commitlog

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
)

// Read appends the n bytes at position at, which must lie in one segment and below the watermark,
// to dst. It fails with ErrTrimmed or ErrBeyond. Bytes that are not there any more fence the log: it fails
// with vfs.ErrFault if a mapped page cannot be read, and as a [*DamageError] if the file became shorter.
// It does not check what is there: that is done when the log is opened, sealed and replayed.
func (l *Log) Read(dst []byte, at message.Position, n int) ([]byte, error) {
	if n < 0 || at+message.Position(n) < at || at+message.Position(n) > l.Watermark() {
		return dst, fmt.Errorf("read %d bytes at position %d: %w", n, uint64(at), ErrBeyond)
	}
	s, end, err := l.pin(at)
	if err != nil {
		return dst, err
	}
	defer s.release()
	if at+message.Position(n) > end {
		return dst, fmt.Errorf("read %d bytes at position %d over the end %d of a segment: %w", n, uint64(at), uint64(end), ErrBeyond)
	}
	old := len(dst)
	dst = slices.Grow(dst, n)[:old+n]
	if err := s.readAt(dst[old:], at); err != nil {
		return dst[:old], l.lostBytes(s, at, err)
	}
	return dst, nil
}

// lostBytes fences the log if err says that durable bytes cannot be read: whoever takes them for stored
// is wrong, and what comes behind them would follow on a hole. It returns what is the matter.
func (l *Log) lostBytes(s *segment, at message.Position, err error) error {
	if cut := s.checkLength(at); cut != nil {
		err = fmt.Errorf("%w: %w", cut, err)
	} else if !errors.Is(err, vfs.ErrFault) && !errors.Is(err, io.EOF) {
		return err
	}
	l.fence.raise(l, err)
	return err
}

// ReadRecord appends the whole record at position at to dst; the record aliases the result. It
// fails as Read does, and with message.ErrCorrupt if no record begins there.
func (l *Log) ReadRecord(dst []byte, at message.Position) ([]byte, message.Record, error) {
	old := len(dst)
	dst, err := l.Read(dst, at, message.EnvelopeLen)
	if err != nil {
		return dst, message.Record{}, err
	}
	n := binary.LittleEndian.Uint32(dst[old+4:])
	if n < message.EnvelopeLen || n > message.MaxRecordLen {
		return dst[:old], message.Record{}, fmt.Errorf("%w: record of %d bytes at position %d", message.ErrCorrupt, n, uint64(at))
	}
	dst, err = l.Read(dst, at+message.EnvelopeLen, int(n)-message.EnvelopeLen)
	if err != nil {
		return dst[:old], message.Record{}, err
	}
	r, _, err := message.DecodeRecord(dst[old:])
	if err != nil {
		return dst[:old], message.Record{}, fmt.Errorf("record at position %d: %w", uint64(at), err)
	}
	return dst, r, nil
}

// pin finds the segment that holds the position and takes a reference; end is where its frames end.
func (l *Log) pin(at message.Position) (s *segment, end message.Position, err error) {
	for {
		segments := *l.segments.Load()
		i, found := slices.BinarySearchFunc(segments, at, func(s *segment, at message.Position) int {
			return cmp.Compare(s.header.base, at)
		})
		if !found {
			i--
		}
		if i < 0 {
			if len(segments) == 0 {
				return nil, 0, ErrClosed
			}
			return nil, 0, fmt.Errorf("position %d: %w", uint64(at), ErrTrimmed)
		}
		end = l.Watermark()
		if i+1 < len(segments) {
			end = segments[i+1].header.base
		}
		if acquire(&segments[i].refs) {
			return segments[i], end, nil
		}
		// It was trimmed or closed between the load and now; the list shows that by now.
	}
}

// Segments returns the local segments, oldest first; the last one is active.
func (l *Log) Segments() []SegmentInfo {
	segments := *l.segments.Load()
	end := l.Watermark()
	infos := make([]SegmentInfo, len(segments))
	for i := len(segments) - 1; i >= 0; i-- {
		active := i == len(segments)-1
		// A segment may have been begun since the watermark was read.
		infos[i] = segments[i].info(max(end, segments[i].header.base), active)
		end = segments[i].header.base
	}
	return infos
}

func (s *segment) info(end message.Position, active bool) SegmentInfo {
	return SegmentInfo{
		ID: s.header.id, Base: s.header.base, End: end, Created: s.header.createdAt(),
		Active: active, FileSize: s.length,
	}
}

// Frames reads the frames that end above from and begin below to, by pread, checks them, and calls
// fn for each in log order. From is a frame's position, a segment's base, or anything between. It
// stops at fn's first error, and fails with ErrTrimmed, or with a [*DamageError] at bytes that
// are not what was written. The frame's bytes are valid during the call only.
func (l *Log) Frames(ctx context.Context, from, to message.Position, fn func(Frame) error) error {
	to = min(to, l.Watermark())
	for from < to {
		s, end, err := l.pin(from)
		if err != nil {
			return err
		}
		err = l.segmentFrames(ctx, s, from, min(end, to), fn)
		s.release()
		if err != nil {
			return err
		}
		from = end
	}
	return nil
}

func (l *Log) segmentFrames(ctx context.Context, s *segment, from, to message.Position, fn func(Frame) error) error {
	r := &frameReader{seg: s, limit: min(s.length, s.offset(l.Watermark()))}
	c := chain{next: s.header.base, crc: s.header.prevCRC}
	damage := func(err error) error {
		if !errors.Is(err, message.ErrCorrupt) {
			return err
		}
		// A page that was cut off reads as no frame: lostBytes tells the two apart.
		err = l.lostBytes(s, c.next, err)
		if _, told := errors.AsType[*DamageError](err); told {
			return err
		}
		return &DamageError{Path: s.path, Position: c.next, Err: err, Proof: "the watermark has passed it"}
	}
	skipped := false
	for c.next < to {
		select {
		case <-l.stop:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		h, err := r.header(c.next)
		if err != nil {
			return damage(err)
		}
		if h.end() <= from { // its header is enough to step over it
			c.advance(&h, 0)
			skipped = true
			continue
		}
		h, records, crc, err := r.frame(c.next)
		if err != nil {
			return damage(err)
		}
		if skipped {
			c.crc, skipped = h.prevCRC, false
		}
		if err := c.check(&h); err != nil {
			return damage(err)
		}
		c.advance(&h, crc)
		if err := fn(frameOf(&h, records, crc, s.header.base)); err != nil {
			return err
		}
	}
	return nil
}

// Trim durably removes the oldest segments that end at or below upTo; never the active one. Each
// removal is durable before the next, so that no crash leaves a hole between segments; a sync that
// fails fences the log.
func (l *Log) Trim(ctx context.Context, upTo message.Position) error {
	select {
	case l.trimming <- struct{}{}:
		defer func() { <-l.trimming }()
	case <-l.stop:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for {
		segments := *l.segments.Load()
		if len(segments) < 2 || segments[1].header.base > upTo {
			return nil
		}
		select {
		case <-l.stop:
			return ErrClosed
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if err := l.trimOldest(segments[0]); err != nil {
			return fmt.Errorf("trim segment at position %d: %w", uint64(segments[0].header.base), err)
		}
	}
}

func (l *Log) trimOldest(oldest *segment) error {
	fpBeforeTrim.Hit()
	// A name that is gone was removed by a Trim that was told otherwise.
	if err := l.opts.FS.Remove(oldest.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fpAfterTrim.Hit()
	if err := l.opts.FS.SyncDir(l.opts.Dir); err != nil {
		// A second sync that succeeds may still lie about this removal, and then the next removal could
		// survive a power cut without it.
		l.fence.raise(l, fmt.Errorf("sync log folder: %w", err))
		return err
	}
	fpAfterTrimDirSync.Hit()
	l.listing.Lock()
	segments := *l.segments.Load()
	l.setSegments(segments[1:len(segments):len(segments)])
	l.listing.Unlock()
	oldest.release()
	return nil
}
