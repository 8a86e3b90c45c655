package proxy

import (
	"context"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/storelayer"
)

// AnyQueue lets the proxy choose the queue of a send.
const AnyQueue = -1

// Send stores messages of one topic in one atomic step, in one queue and in their order: the given one,
// or with AnyQueue the next in turn. It sets Queue of each message; everything else of them is the
// caller's, borrowed until Send returns. Its error is the shard's, or says that there is no such queue.
func (p *Proxy) Send(ctx context.Context, topic *meta.Topic, queue int, messages []message.Message) ([]storelayer.Appended, error) {
	r, err := p.route(topic)
	if err != nil {
		return nil, err
	}
	id := message.QueueID(queue)
	if queue == AnyQueue {
		id = message.QueueID(r.next.Add(1) % uint32(len(r.placed)))
	}
	shard, err := p.queueShard(topic, id)
	if err != nil {
		return nil, err
	}
	bytes := 0
	for i := range messages {
		messages[i].Queue = message.Queue{Topic: topic.ID, ID: id}
		bytes += len(messages[i].Body)
	}
	appended, err := shard.Append(ctx, &storelayer.AppendRequest{Messages: messages, Ack: ackMode(topic.Ack)})
	if err != nil {
		return nil, err
	}
	r.stats.sent(len(messages), bytes)
	return appended, nil
}

// ackMode translates a topic's setting. What is not known gets the safest.
func ackMode(mode meta.AckMode) storelayer.AckMode {
	switch mode {
	case meta.AckLocal:
		return storelayer.AckLocal
	case meta.AckReplicated:
		return storelayer.AckReplicated
	case meta.AckDurable:
		return storelayer.AckDurable
	default:
		return storelayer.AckDurable
	}
}
