package history

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// Snapshot returns the newest snapshot of a shard that is in the bucket, and where its replay starts; nil if there is no
// seal yet.
func (h *History) Snapshot(ctx context.Context, shard message.ShardID) (snapshot []byte, replayStart message.Position, err error) {
	c, err := h.newestChain(ctx, shard)
	if err != nil || c.snapshot == nil {
		return nil, 0, err
	}
	s := c.snapshot.Snapshot
	key := c.snapshot.SnapshotKey()
	raw := make([]byte, s.Size)
	err = h.undamaged(func() error {
		if err := h.store.GetRange(ctx, key, raw, 0); err != nil {
			return err
		}
		if got := tiering.Checksum(raw); got != s.CRC32C {
			return fmt.Errorf("%w: CRC32C %08x, not %08x", message.ErrCorrupt, got, s.CRC32C)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read snapshot %s: %w", key, missing(err))
	}
	return raw, s.ReplayStart, nil
}
