package shard

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer/queue"
)

// HeldTopic is what a shard knows of a topic by its messages alone.
type HeldTopic struct {
	ID       message.TopicID
	Queues   int   // the highest queue with a message, and one
	Messages int64 // in any tier
}

// Topics returns the topics that the shard has messages of, by id.
func (s *Shard) Topics() []HeldTopic {
	var held []HeldTopic
	for _, state := range s.withMessages() {
		if n := len(held); n == 0 || held[n-1].ID != state.Queue.Topic {
			held = append(held, HeldTopic{ID: state.Queue.Topic})
		}
		t := &held[len(held)-1]
		t.Queues = max(t.Queues, int(state.Queue.ID)+1)
		t.Messages += int64(state.Next - state.First)
	}
	return held
}

// Newest returns the last message of one of the topic's queues. The bucket may have to be asked. It fails with
// what the last queue's read said if none can be read.
func (s *Shard) Newest(ctx context.Context, topic message.TopicID) (message.Message, error) {
	err := fmt.Errorf("topic %s has no message here", topic)
	for _, state := range s.withMessages() {
		if state.Queue.Topic != topic {
			continue
		}
		stored, readErr := s.readAny(ctx, state.Queue, state.Next-1)
		if readErr != nil {
			err = fmt.Errorf("read message %d of queue %s: %w", state.Next-1, state.Queue, readErr)
			continue
		}
		m, decodeErr := message.DecodeStored(stored)
		if decodeErr == nil {
			return m, nil
		}
		err = fmt.Errorf("message %d of queue %s: %w", state.Next-1, state.Queue, decodeErr)
	}
	return message.Message{}, errors.Join(err, context.Cause(ctx))
}

// withMessages returns the states of the queues that have messages and whose topic has not ended.
func (s *Shard) withMessages() []queue.State {
	var states []queue.State
	for _, state := range s.table.Queues() {
		if state.Next > state.First && !s.topicGone(state.Queue.Topic) {
			states = append(states, state)
		}
	}
	return states
}
