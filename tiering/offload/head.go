package offload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/manifest"
)

// claim puts this leader's epoch into the head, so that no earlier leader can move it any more.
func (o *Offloader) claim(ctx context.Context) error {
	head, revision, err := o.readHead(ctx)
	if errors.Is(err, meta.ErrNotFound) {
		if err := o.provesNew(ctx); err != nil {
			return err
		}
		head, revision, err = meta.ManifestHead{}, 0, nil
	}
	if err != nil {
		return fmt.Errorf("read manifest head: %w", err)
	}
	epoch := o.Source.Epoch()
	if head.LeaderEpoch > epoch {
		return fmt.Errorf("%w: epoch %s", ErrFenced, head.LeaderEpoch)
	}
	if head.LeaderEpoch < epoch {
		fpBeforeClaim.Hit()
		head = head.WithEpoch(epoch)
		revision, err = o.Meta.CompareAndSet(ctx, meta.BucketManifests, o.headKey(), head.AppendTo(nil), revision)
		if err != nil {
			return fmt.Errorf("claim manifest head: %w", err) // a lost race shows at the next attempt
		}
		fpAfterClaim.Hit()
	}
	if err := o.adopt(head, revision); err != nil {
		return err
	}
	if err := o.recallSeals(ctx); err != nil {
		return err
	}
	o.claimed = true
	if o.Events.Claimed != nil {
		o.Events.Claimed(epoch, head.Sequence)
	}
	return nil
}

func (o *Offloader) headKey() string { return meta.ShardKey(o.Source.Shard()) }

func (o *Offloader) readHead(ctx context.Context) (meta.ManifestHead, uint64, error) {
	v, err := o.Meta.Get(ctx, meta.BucketManifests, o.headKey())
	if err != nil {
		return meta.ManifestHead{}, 0, err
	}
	head, err := meta.DecodeManifestHead(v.Data)
	return head, v.Revision, err
}

// provesNew checks that a shard without a head is one that never sealed: "not found" alone may be a metadata store
// that lost its data.
func (o *Offloader) provesNew(ctx context.Context) error {
	key := manifest.EntryKey(o.Cluster, o.Source.Shard(), 1)
	_, err := o.Store.Head(ctx, key)
	if errors.Is(err, tiering.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for earlier seals: %w", err)
	}
	return fmt.Errorf("%w: the bucket has %s", ErrManifestLost, key)
}

// adopt takes over a head that was read or written.
func (o *Offloader) adopt(head meta.ManifestHead, revision uint64) error {
	var entry manifest.Entry
	if head.Sequence > 0 {
		var err error
		if entry, err = manifest.DecodeEntry(head.Entry); err != nil {
			return fmt.Errorf("manifest head: %w", err)
		}
		if entry.Sequence != head.Sequence || entry.Shard != o.Source.Shard() || entry.Cluster != o.Cluster {
			return fmt.Errorf("%w: the head has entry %d of shard %s of cluster %q", ErrManifestLost, entry.Sequence, entry.Shard, entry.Cluster)
		}
	}
	if head.Sequence != o.head.Sequence || head.Hash != o.head.Hash {
		o.finished = false
	}
	o.head, o.revision, o.entry = head, revision, entry
	return nil
}

// recallSeals finds out when the local segments that are sealed already were sealed, so that a restart does not
// begin their local retention anew.
func (o *Offloader) recallSeals(ctx context.Context) error {
	segments, err := o.Source.Sealable(ctx)
	if err != nil {
		return fmt.Errorf("list local segments: %w", err)
	}
	if len(segments) == 0 || o.entry.Sequence == 0 {
		return nil
	}
	first := segments[0].Base
	entry := o.entry
	for {
		if entry.Seals() {
			o.sealed[entry.Base] = time.UnixMilli(entry.Created)
		}
		if entry.Base <= first || entry.Sequence == 1 {
			return nil
		}
		sequence := entry.Sequence - 1
		if entry, _, err = manifest.ReadEntry(ctx, o.Store, o.Cluster, o.Source.Shard(), sequence); err != nil {
			return fmt.Errorf("read manifest entry %d: %w", sequence, err)
		}
	}
}

// commit moves the head to the next entry. Nobody else has the right to, so a conflict is an earlier write of this leader
// whose outcome was unknown, or the end of its term: both show in what is there now.
func (o *Offloader) commit(ctx context.Context, entry manifest.Entry) error {
	entry.Sequence, entry.Previous = o.head.Sequence+1, o.head.Hash
	next := o.head.WithEntry(entry.AppendTo(nil))
	data := next.AppendTo(nil)
	o.written += int64(len(data))
	fpBeforeHead.Hit()
	revision, err := o.Meta.CompareAndSet(ctx, meta.BucketManifests, o.headKey(), data, o.revision)
	if err == nil {
		fpAfterHead.Hit()
		return o.adopt(next, revision)
	}
	if !errors.Is(err, meta.ErrConflict) && !errors.Is(err, meta.ErrUnknown) {
		return fmt.Errorf("move manifest head: %w", err)
	}
	head, revision, readErr := o.readHead(ctx)
	if readErr != nil {
		return fmt.Errorf("move manifest head: %w", errors.Join(err, readErr))
	}
	if head.LeaderEpoch > o.Source.Epoch() {
		return fmt.Errorf("%w: epoch %s", ErrFenced, head.LeaderEpoch)
	}
	if revision < o.revision {
		return fmt.Errorf("move manifest head: a stale head was read: %w", err)
	}
	if adoptErr := o.adopt(head, revision); adoptErr != nil {
		return adoptErr
	}
	if head.Hash == next.Hash {
		fpAfterHead.Hit()
		return nil
	}
	return fmt.Errorf("move manifest head: %w", err)
}
