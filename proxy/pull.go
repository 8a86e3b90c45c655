package proxy

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// maxPullScan bounds how many messages one pull looks at for some that match.
const maxPullScan = 4096

// PullRequest asks for messages of one queue from an offset on, without a lease.
type PullRequest struct {
	Topic  *meta.Topic
	Queue  message.QueueID
	Offset message.Offset
	Filter filter.Filter
	Max    int           // messages; taken as 1 … MaxReceive
	Poll   time.Duration // how long to wait for a first message
}

// Pulled is the answer to a pull.
type Pulled struct {
	Messages []message.Located // that match, in order; their bytes are not to be changed
	Next     message.Offset    // where the next pull goes on
}

// Pull reads messages of a queue in order, hot or cold, and waits at the end for the first one at most for
// Poll. No message is no error. An offset outside the queue is a *storelayer.OffsetOutOfRangeError.
func (p *Proxy) Pull(ctx context.Context, req *PullRequest) (Pulled, error) {
	shard, err := p.queueShard(req.Topic, req.Queue)
	if err != nil {
		return Pulled{}, err
	}
	end := time.Now().Add(req.Poll)
	limit := min(max(req.Max, 1), MaxReceive)
	out := Pulled{Next: req.Offset}
	for scanned := 0; ; {
		batch, err := p.read(ctx, shard, message.Queue{Topic: req.Topic.ID, ID: req.Queue}, out.Next, limit, LargeBody)
		if err != nil {
			return out, err
		}
		for _, m := range batch.Messages {
			out.Next = m.Offset + 1
			if req.Filter.All() || req.Filter.MatchTag(storedTag(m.Stored)) {
				out.Messages = append(out.Messages, m)
			}
			if len(out.Messages) == limit {
				break
			}
		}
		scanned += len(batch.Messages)
		switch {
		case len(out.Messages) > 0 || scanned >= maxPullScan:
			return out, nil
		case len(batch.Messages) > 0:
			continue
		}
		if waited, err := p.waitQueue(ctx, shard, req, batch.Token, end); err != nil || !waited {
			return out, err
		}
	}
}

// waitQueue waits for a message of a queue until end, or until a drain. It reports whether another look is
// worth while.
func (p *Proxy) waitQueue(ctx context.Context, shard storelayer.Shard, req *PullRequest, token uint64, end time.Time) (bool, error) {
	select {
	case <-p.draining:
		return false, nil
	default:
	}
	if !time.Now().Before(end) {
		return false, nil
	}
	waiting, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	defer p.onDrain(cancel)()
	// One arrival wakes one waiter of each group. A pull shares its messages with nobody, so it waits as a
	// group of its own, by a name that no group can have.
	err := shard.Wait(waiting, &storelayer.WaitRequest{
		Group: "\x00pull " + strconv.FormatUint(p.pulls.Add(1), 10),
		Topic: req.Topic.ID, Queues: []message.QueueID{req.Queue}, Token: token,
	})
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case waiting.Err() != nil:
		return false, nil
	default:
		return err == nil, err
	}
}

// read returns messages of a queue from an offset on, from wherever they are. At the queue's end it returns
// none. Below the local bytes it asks the bucket: what is not there although it should be is an error.
func (p *Proxy) read(ctx context.Context, shard storelayer.Shard, q message.Queue, from message.Offset, limit, maxBytes int) (storelayer.Fetched, error) {
	got, err := shard.Fetch(ctx, &storelayer.FetchRequest{Queue: q, Offset: from, Max: limit, MaxBytes: maxBytes})
	if err != nil || len(got.Messages) > 0 || from >= got.FirstLocal {
		return got, err
	}
	limit = min(limit, int(min(got.FirstLocal-from, MaxReceive)))
	got.Messages, err = p.readHistory(ctx, shard, q, from, limit, maxBytes, got.Tier.SealSequence)
	if errors.Is(err, ErrGone) {
		return got, &storelayer.OffsetOutOfRangeError{Queue: q, Offset: from, First: max(got.First, from+1), Next: got.Next}
	}
	return got, err
}
