package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/queue"
)

// Fetch implements [storelayer.Shard].
func (s *Shard) Fetch(ctx context.Context, req *storelayer.FetchRequest) (storelayer.Fetched, error) {
	token := s.waiters.token(req.Queue.Topic)
	state, err := s.queueState(ctx, req.Queue)
	if err != nil {
		return storelayer.Fetched{}, err
	}
	f := storelayer.Fetched{First: state.First, FirstLocal: state.FirstLocal, Next: state.Next, Token: token, Tier: s.tier()}
	if req.Offset < state.First || req.Offset > state.Next {
		return f, &storelayer.OffsetOutOfRangeError{Queue: req.Queue, Offset: req.Offset, First: state.First, Next: state.Next}
	}
	entries, err := s.table.Range(nil, req.Queue, req.Offset, req.Max)
	if errors.Is(err, queue.ErrNotLocal) {
		return s.nowCold(f, req)
	}
	if err != nil {
		return f, err
	}
	room := req.MaxBytes
	for i, e := range entries {
		if room -= int(e.Size); room < 0 && i > 0 {
			break
		}
		stored, err := s.readEntry(e)
		if errors.Is(err, queue.ErrNotLocal) {
			// A trim overtook this read; what was read before it stands.
			if i > 0 {
				break
			}
			return s.nowCold(f, req)
		}
		if err != nil {
			return f, err
		}
		f.Messages = append(f.Messages, message.Located{Queue: req.Queue, Offset: req.Offset + message.Offset(i), Stored: stored})
	}
	return f, nil
}

// nowCold answers a fetch whose offset only the bucket has, with bounds that say so.
func (s *Shard) nowCold(f storelayer.Fetched, req *storelayer.FetchRequest) (storelayer.Fetched, error) {
	state, _ := s.table.Queue(req.Queue)
	f.First, f.FirstLocal, f.Next, f.Tier = state.First, state.FirstLocal, state.Next, s.tier()
	return f, nil
}

// Queue implements [storelayer.Shard].
func (s *Shard) Queue(ctx context.Context, q message.Queue) (storelayer.QueueState, error) {
	state, err := s.queueState(ctx, q)
	if err != nil {
		return storelayer.QueueState{}, err
	}
	return toQueueState(q, state, s.tier()), nil
}

// toQueueState joins what the table knew with the tier as it was afterwards: what had been trimmed by then had been
// sealed before, so that the tier names a seal that has it.
func toQueueState(q message.Queue, state queue.State, tier storelayer.TierState) storelayer.QueueState {
	return storelayer.QueueState{
		Queue: q, First: state.First, FirstLocal: state.FirstLocal, Next: state.Next, LastStoreTime: state.LastStoreTime, Tier: tier,
	}
}

// queueState returns what the table knows; a queue that never had a message is [0, 0).
func (s *Shard) queueState(ctx context.Context, q message.Queue) (queue.State, error) {
	if err := s.admit(ctx); err != nil {
		return queue.State{}, err
	}
	if s.topicGone(q.Topic) {
		return queue.State{}, storelayer.ErrQueueNotFound
	}
	state, known := s.table.Queue(q)
	if !known {
		state.Queue = q
	}
	return state, nil
}

// OffsetAt implements [storelayer.Shard].
func (s *Shard) OffsetAt(ctx context.Context, q message.Queue, t int64) (message.Offset, storelayer.QueueState, error) {
	if _, err := s.queueState(ctx, q); err != nil {
		return 0, storelayer.QueueState{}, err
	}
	offset, err := s.table.OffsetAt(q, t, func(e message.Entry) (int64, error) {
		stored, err := s.readEntry(e)
		if err != nil {
			return 0, err
		}
		return message.Stored(stored).StoreTime(), nil
	})
	if err != nil {
		return 0, storelayer.QueueState{}, err
	}
	// The bounds come after the search: a trim that overtook it may have taken the true answer into the bucket, and only
	// bounds that know of the trim send the caller there.
	state, err := s.Queue(ctx, q)
	return offset, state, err
}

// lookupSlack is how many more positions a lookup asks for than it wants, since a hash may be shared.
const lookupSlack = 16

// Lookup implements [storelayer.Shard].
func (s *Shard) Lookup(ctx context.Context, req *storelayer.LookupRequest) ([]message.Located, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	if s.topicGone(req.Topic) {
		return nil, storelayer.ErrQueueNotFound
	}
	positions, err := s.table.Lookup(nil, message.IndexKey(req.Topic, req.Kind, req.Text), req.Max+lookupSlack)
	if err != nil {
		return nil, err
	}
	var found []message.Located
	for _, at := range positions {
		if len(found) >= req.Max {
			break
		}
		_, r, err := s.log.ReadRecord(nil, at)
		if errors.Is(err, commitlog.ErrTrimmed) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the message at %s: %w", at, err)
		}
		m, err := message.DecodeStored(r.Body)
		if err != nil {
			return nil, fmt.Errorf("the message at %s: %w", at, err)
		}
		if r.Topic == req.Topic && hasIndexText(&m, req.Kind, req.Text) {
			found = append(found, message.Located{Queue: message.Queue{Topic: r.Topic, ID: m.Queue.ID}, Offset: m.Offset, Stored: r.Body})
		}
	}
	return found, nil
}

// read returns the stored message at an offset; queue.ErrNotLocal if only the bucket has it.
func (s *Shard) read(q message.Queue, offset message.Offset) ([]byte, error) {
	e, err := s.table.Entry(q, offset)
	if err != nil {
		return nil, err
	}
	return s.readEntry(e)
}

// readEntry returns the stored message of an entry, in memory of its own.
func (s *Shard) readEntry(e message.Entry) ([]byte, error) {
	raw, err := s.log.Read(make([]byte, 0, e.Size), e.Position, int(e.Size))
	if errors.Is(err, commitlog.ErrTrimmed) {
		return nil, queue.ErrNotLocal
	}
	if err != nil {
		return nil, fmt.Errorf("read %d bytes at %s: %w", e.Size, e.Position, err)
	}
	r, n, err := message.DecodeRecord(raw)
	if err != nil || n != len(raw) || r.Type != message.RecordMessage {
		return nil, fmt.Errorf("%w: the record at %s is not the message that its entry says: %w", message.ErrCorrupt, e.Position, err)
	}
	return r.Body, nil
}

// errNoBucket says that a shard without a bucket has no bytes of an offset.
var errNoBucket = errors.New("the local bytes are gone and there is no bucket")

// readAny returns the stored message at an offset, from the bucket if need be.
func (s *Shard) readAny(ctx context.Context, q message.Queue, offset message.Offset) ([]byte, error) {
	stored, err := s.read(q, offset)
	if !errors.Is(err, queue.ErrNotLocal) {
		return stored, err
	}
	if s.opts.Bucket == nil {
		return nil, errNoBucket
	}
	return s.opts.Bucket.Read(ctx, q, offset)
}

// hasIndexText reports whether a message has the key or the id that was looked for: its hash may be another's.
func hasIndexText(m *message.Message, kind message.IndexKind, text string) bool {
	if kind == message.IndexByID {
		id, _ := message.Property(m.Properties, message.PropertyMessageID)
		return string(id) == text
	}
	keys, _ := message.Property(m.Properties, message.PropertyKeys)
	for key := range strings.FieldsSeq(string(keys)) {
		if key == text {
			return true
		}
	}
	return false
}
