package proxy

import (
	"context"
	"errors"
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
	var errs []error
	for len(handles) > 0 {
		n := sameShard(handles)
		shard, err := p.shardOf(handles[0])
		if err == nil {
			err = shard.Release(ctx, handles[:n])
		}
		errs = append(errs, err)
		handles = handles[n:]
	}
	return errors.Join(errs...)
}

// Ack settles messages for their group and answers after the sync: nil or storelayer.ErrInvalidHandle for each
// handle, in order.
func (p *Proxy) Ack(ctx context.Context, handles []storelayer.Handle) ([]error, error) {
	results := make([]error, 0, len(handles))
	for rest := handles; len(rest) > 0; {
		n := sameShard(rest)
		run := rest[:n]
		rest = rest[n:]
		shard, err := p.shardOf(run[0])
		if err != nil {
			for range run {
				results = append(results, err)
			}
			continue
		}
		some, err := shard.Ack(ctx, run)
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", shard.ID(), err)
		}
		results = append(results, some...)
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

// sameShard returns how many handles at the head are of one shard.
func sameShard(handles []storelayer.Handle) int {
	n := 1
	for n < len(handles) && handles[n].Shard == handles[0].Shard {
		n++
	}
	return n
}
