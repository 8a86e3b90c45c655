package offload

import (
	"context"
	"fmt"
	"time"
)

// trim removes the oldest local segments that are sealed and that nobody wants to keep here. The caller has finished the
// head's entry, and so all entries before it: every segment below its end is readable from the bucket.
func (o *Offloader) trim(ctx context.Context, segments []Segment) error {
	for _, s := range o.trimmable(segments) {
		fpBeforeTrim.Hit()
		if err := o.Source.Trim(ctx, s.Base); err != nil {
			return fmt.Errorf("trim segment %s: %w", s.Base, err)
		}
		fpAfterTrim.Hit()
		delete(o.sealed, s.Base)
		if o.Events.Trimmed != nil {
			o.Events.Trimmed(s)
		}
	}
	return nil
}

// trimmable returns the segments that are due, oldest first.
func (o *Offloader) trimmable(segments []Segment) []Segment {
	if !o.finished {
		return nil
	}
	now := o.Clock.Now()
	local := o.sealedBytes(segments)
	for i, s := range segments {
		if s.End > o.entry.End {
			return segments[:i]
		}
		age := now.Sub(o.sealedAt(s, now))
		old := age >= o.Config.LocalAge && (o.Config.LocalAge > 0 || o.Config.LocalBytes == 0)
		much := o.Config.LocalBytes > 0 && local > o.Config.LocalBytes
		if age < o.Config.Grace || !old && !much {
			return segments[:i]
		}
		local -= s.Bytes
	}
	return segments
}

func (o *Offloader) sealedBytes(segments []Segment) int64 {
	bytes := int64(0)
	for _, s := range segments {
		if s.End <= o.entry.End {
			bytes += s.Bytes
		}
	}
	return bytes
}

// sealedAt returns when a segment was sealed. One whose entry is not known, or has a time that has not come yet by this
// node's clock, counts from now on.
func (o *Offloader) sealedAt(s Segment, now time.Time) time.Time {
	at, ok := o.sealed[s.Base]
	if !ok || at.After(now) {
		o.sealed[s.Base] = now
		return now
	}
	return at
}

// untilTrim returns when the oldest sealed segment becomes due by its age; a poll does for the rest.
func (o *Offloader) untilTrim() time.Duration {
	wait := o.Config.Poll
	now := o.Clock.Now()
	keep := max(o.Config.Grace, o.Config.LocalAge)
	for _, at := range o.sealed {
		if left := keep - now.Sub(at); left > 0 {
			wait = min(wait, left)
		}
	}
	return wait
}
