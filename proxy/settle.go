package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/stratamq/stratamq/storelayer"
)

// Release gives back what could certainly not be delivered; no attempt is counted.
func (p *Proxy) Release(ctx context.Context, received []Received) error {
	handles := make([]storelayer.Handle, len(received))
	for i := range received {
		handles[i] = received[i].Handle
	}
	return p.eachShard(handles, func(shard storelayer.Shard, handles []storelayer.Handle) error {
		return shard.Release(ctx, handles)
	})
}

// Ack settles messages for their group and answers after the sync: nil or storelayer.ErrInvalidHandle for each
// handle, in order.
func (p *Proxy) Ack(ctx context.Context, handles []storelayer.Handle) ([]error, error) {
	results := make([]error, 0, len(handles))
	err := p.eachShard(handles, func(shard storelayer.Shard, handles []storelayer.Handle) error {
		some, err := shard.Ack(ctx, handles)
		results = append(results, some...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// Change moves the end of a lease to invisible from now on and returns a handle that is good beside the
// old one. Uncounted says that the delivery does not count as an attempt.
func (p *Proxy) Change(ctx context.Context, h storelayer.Handle, invisible time.Duration, uncounted bool) (storelayer.Handle, error) {
	shard, err := p.shardOf(h)
	if err != nil {
		return storelayer.Handle{}, err
	}
	return shard.Change(ctx, &storelayer.ChangeRequest{Handle: h, Invisible: invisible, Uncounted: uncounted})
}

// DeadLetter moves a message to the dead-letter topic of its group; one that is there already is no error.
func (p *Proxy) DeadLetter(ctx context.Context, h storelayer.Handle) error {
	shard, err := p.shardOf(h)
	if err != nil {
		return err
	}
	return shard.DeadLetter(ctx, h)
}

// shardOf returns the shard that made a handle. A handle that names no shard of ours is not one of ours.
func (p *Proxy) shardOf(h storelayer.Handle) (storelayer.Shard, error) {
	shard, err := p.shard(h.Shard)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", storelayer.ErrInvalidHandle, err)
	}
	return shard, nil
}

// eachShard calls f with each run of handles of one shard, in their order.
func (p *Proxy) eachShard(handles []storelayer.Handle, f func(shard storelayer.Shard, run []storelayer.Handle) error) error {
	for start := 0; start < len(handles); {
		end := start + 1
		for end < len(handles) && handles[end].Shard == handles[start].Shard {
			end++
		}
		shard, err := p.shardOf(handles[start])
		if err != nil {
			return err
		}
		if err := f(shard, handles[start:end]); err != nil {
			return fmt.Errorf("shard %s: %w", shard.ID(), err)
		}
		start = end
	}
	return nil
}
