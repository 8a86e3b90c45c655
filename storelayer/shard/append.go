package shard

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
	"github.com/stratamq/stratamq/storelayer/commitlog"
)

// Append implements [storelayer.Shard].
func (s *Shard) Append(ctx context.Context, req *storelayer.AppendRequest) ([]storelayer.Appended, error) {
	if err := s.admit(ctx); err != nil {
		return nil, err
	}
	if req.Ack == storelayer.AckReplicated {
		return nil, storelayer.ErrNotReplicated
	}
	if s.disk.low() {
		return nil, s.disk.err()
	}
	ack := commitlog.AckDurable
	if req.Ack == storelayer.AckLocal {
		ack = commitlog.AckLocal
	}
	b := newMessageBatch(s, req.Messages)
	if err := s.log.Submit(&commitlog.Request{Batch: b, Ack: ack, Refusable: true, Done: b.done}); err != nil {
		return nil, logError(err)
	}
	return b.wait(ctx)
}

// The states of a batch: who touches the caller's memory, and whether anything was appended.
const (
	batchWaiting   = iota // nobody has read it
	batchEncoding         // the committer reads the messages
	batchEncoded          // the messages are in a frame; the caller's memory is free
	batchCancelled        // the caller left first; nothing is appended
)

// messageBatch is the messages of one append on their way into one frame.
//
// The caller lends its memory. A caller that gives up moves waiting to cancelled, or else waits until the
// committer has copied the bytes, which takes no I/O.
type messageBatch struct {
	shard    *Shard
	messages []message.Message
	places   []storelayer.Appended
	size     int
	refused  bool // the topic ended before it in the log; set by the committer before encoded is closed

	state   atomic.Int32
	encoded chan struct{} // closed on leaving encoding
	answer  chan error    // holds one
}

func newMessageBatch(s *Shard, messages []message.Message) *messageBatch {
	b := &messageBatch{
		shard: s, messages: messages, places: make([]storelayer.Appended, len(messages)),
		encoded: make(chan struct{}), answer: make(chan error, 1),
	}
	for i := range messages {
		b.size += messages[i].RecordLen()
	}
	return b
}

// Size implements [commitlog.Batch].
func (b *messageBatch) Size() int { return b.size }

// AppendTo implements [commitlog.Batch]: the committer calls it once, in log order, so offsets are given here.
func (b *messageBatch) AppendTo(dst []byte, at message.Position, storeTime int64) ([]byte, int) {
	if !b.state.CompareAndSwap(batchWaiting, batchEncoding) {
		return dst, 0
	}
	if len(b.messages) > 0 && b.shard.hasEnded(b.messages[0].Queue.Topic) {
		b.refused = true
		b.leave()
		return dst, 0
	}
	for i := range b.messages {
		start := len(dst)
		dst = b.shard.encodeMessage(dst, &b.messages[i], at, storeTime)
		b.places[i] = storelayer.Appended{Offset: b.messages[i].Offset, Position: at, StoreTime: storeTime}
		at += message.Position(len(dst) - start)
	}
	b.leave()
	return dst, len(b.messages)
}

// leave says that the committer has done with the caller's memory.
func (b *messageBatch) leave() {
	b.state.Store(batchEncoded)
	close(b.encoded)
}

func (b *messageBatch) done(err error) { b.answer <- err }

func (b *messageBatch) wait(ctx context.Context) ([]storelayer.Appended, error) {
	select {
	case err := <-b.answer:
		return b.result(err)
	case <-ctx.Done():
	}
	if b.state.CompareAndSwap(batchWaiting, batchCancelled) {
		return nil, context.Cause(ctx)
	}
	<-b.encoded
	select {
	case err := <-b.answer:
		return b.result(err)
	default:
		return nil, fmt.Errorf("%w: %w", storelayer.ErrUnknown, context.Cause(ctx))
	}
}

func (b *messageBatch) result(err error) ([]storelayer.Appended, error) {
	switch {
	case err != nil:
		return nil, unknown(err)
	case b.refused:
		return nil, storelayer.ErrQueueNotFound
	default:
		return b.places, nil
	}
}

// encodeMessage gives m its offset and appends its record. Only the committer calls it.
func (s *Shard) encodeMessage(dst []byte, m *message.Message, at message.Position, storeTime int64) []byte {
	m.Offset = s.table.Reserve(m.Queue, 1)
	m.PhysicalOffset = message.PhysicalOffset(s.id, at)
	m.StoreTime = storeTime
	return m.AppendRecord(dst, message.RecordMessage)
}

// hasEnded reports whether the record that ends a topic stands in the log before what is encoded now. Only the
// committer calls it: a message behind that record would get an offset of a queue that is no more.
func (s *Shard) hasEnded(topic message.TopicID) bool {
	_, ended := s.encoding.ended[topic]
	return ended
}

// stateBatch is the records of one decision, and the messages that move with it, in one frame.
type stateBatch struct {
	shard   *Shard
	moved   []message.Message // re-appended, before the records that end their old state
	records []message.Record
}

// Size implements [commitlog.Batch].
func (b *stateBatch) Size() int {
	n := 0
	for i := range b.moved {
		n += b.moved[i].RecordLen()
	}
	for i := range b.records {
		n += message.EnvelopeLen + len(b.records[i].Body)
	}
	return n
}

// AppendTo implements [commitlog.Batch].
func (b *stateBatch) AppendTo(dst []byte, at message.Position, storeTime int64) ([]byte, int) {
	base := len(dst)
	for i := range b.moved {
		dst = b.shard.encodeMessage(dst, &b.moved[i], at+message.Position(len(dst)-base), storeTime)
	}
	for _, r := range b.records {
		if r.Type == message.RecordTopicDelete {
			b.shard.encoding.ended[r.Topic] = struct{}{}
		}
		dst = r.AppendTo(dst)
	}
	return dst, len(b.moved) + len(b.records)
}

// outcome is where one goroutine waits for the sync of its records.
type outcome chan error

func newOutcome() outcome { return make(outcome, 1) }

func (o outcome) set(err error) { o <- err }

// wait returns the outcome, or ErrUnknown if ctx ends first: the records are on their way.
func (o outcome) wait(ctx context.Context) error {
	select {
	case err := <-o:
		return unknown(err)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", storelayer.ErrUnknown, context.Cause(ctx))
	}
}

// unknown marks the error of an append that was admitted: it says nothing about what a recovery will find. Only a
// full disk refuses what it had admitted before anything of it is written.
func unknown(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, commitlog.ErrFull) && !errors.Is(err, commitlog.ErrFenced) {
		return logError(err)
	}
	return fmt.Errorf("%w: %w", storelayer.ErrUnknown, logError(err))
}
