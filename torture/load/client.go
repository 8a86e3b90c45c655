package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/torture/ledger"
)

// callTimeout bounds one call. A broker that lives answers in far less.
const callTimeout = 10 * time.Second

// maxAnswer is the largest answer in bytes that a client takes.
const maxAnswer = 64 << 20

// Client is one connection to a broker.
type Client struct {
	conn *grpc.ClientConn
	rpc  pb.MessagingServiceClient
	name string
}

// Dial makes a client; it connects with the first call.
func Dial(address, name string) (*Client, error) {
	conn, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			MinConnectTimeout: callTimeout,
			Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 100 * time.Millisecond},
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return &Client{conn: conn, rpc: pb.NewMessagingServiceClient(conn), name: name}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// call bounds a call and says who calls.
func (c *Client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-mq-client-id", c.name, "x-mq-language", "GO", "x-mq-protocol", "v2")
	return context.WithTimeout(ctx, callTimeout)
}

// StatusError is an answer that is not OK.
type StatusError struct {
	Code pb.Code
	Text string
}

// Error is the code and the broker's text.
func (e *StatusError) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.Code, e.Text) }

// statusErr returns what a status says, nil for OK.
func statusErr(s *pb.Status) error {
	if s.GetCode() == pb.Code_OK {
		return nil
	}
	return &StatusError{s.GetCode(), s.GetMessage()}
}

// CodeOf returns the code of an answer, 0 for an error of the connection.
func CodeOf(err error) pb.Code {
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Code
	}
	if err == nil {
		return pb.Code_OK
	}
	return 0
}

func resource(name string) *pb.Resource { return &pb.Resource{Name: name} }

func queueOf(topic string, id int32) *pb.MessageQueue {
	return &pb.MessageQueue{Topic: resource(topic), Id: id}
}

// Send sends messages of one topic and returns an offset for each.
func (c *Client) Send(ctx context.Context, messages []*pb.Message) ([]int64, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.SendMessage(ctx, &pb.SendMessageRequest{Messages: messages})
	if err != nil {
		return nil, err
	}
	if err := statusErr(answer.GetStatus()); err != nil {
		return nil, err
	}
	offsets := make([]int64, 0, len(messages))
	for _, e := range answer.GetEntries() {
		offsets = append(offsets, e.GetOffset())
	}
	if len(offsets) != len(messages) {
		return nil, fmt.Errorf("%d entries for %d messages", len(offsets), len(messages))
	}
	return offsets, nil
}

// NewMessage makes a message of the protocol.
func NewMessage(topic, id, tag string, body []byte) *pb.Message {
	return &pb.Message{
		Topic: resource(topic), Body: body,
		SystemProperties: &pb.SystemProperties{
			MessageId: id, Tag: &tag, Keys: []string{"key-" + id}, MessageType: pb.MessageType_NORMAL,
			BodyEncoding: pb.Encoding_IDENTITY, BornTimestamp: timestamppb.Now(), BornHost: "torture",
		},
	}
}

// Receive leases up to batch messages for a group and waits up to poll for the first.
func (c *Client) Receive(ctx context.Context, group, topic string, batch int32, invisible, poll time.Duration) ([]*pb.Message, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	stream, err := c.rpc.ReceiveMessage(ctx, &pb.ReceiveMessageRequest{
		Group: resource(group), MessageQueue: queueOf(topic, 0), BatchSize: batch,
		FilterExpression:  &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"},
		InvisibleDuration: durationpb.New(invisible), LongPollingTimeout: durationpb.New(poll),
	})
	if err != nil {
		return nil, err
	}
	var messages []*pb.Message
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return messages, nil
		}
		if err != nil {
			return messages, err
		}
		switch content := frame.GetContent().(type) {
		case *pb.ReceiveMessageResponse_Status:
			if code := content.Status.GetCode(); code != pb.Code_OK && code != pb.Code_MESSAGE_NOT_FOUND {
				return nil, statusErr(content.Status)
			}
		case *pb.ReceiveMessageResponse_Message:
			messages = append(messages, content.Message)
		}
	}
}

// Ack acknowledges messages and returns the result of each.
func (c *Client) Ack(ctx context.Context, group, topic string, messages []*pb.Message) ([]error, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	req := &pb.AckMessageRequest{Group: resource(group), Topic: resource(topic)}
	for _, m := range messages {
		req.Entries = append(req.Entries, &pb.AckMessageEntry{
			MessageId: m.GetSystemProperties().GetMessageId(), ReceiptHandle: m.GetSystemProperties().GetReceiptHandle(),
		})
	}
	answer, err := c.rpc.AckMessage(ctx, req)
	if err != nil {
		return nil, err
	}
	if len(answer.GetEntries()) != len(messages) {
		return nil, errors.Join(statusErr(answer.GetStatus()), fmt.Errorf("%d entries for %d messages", len(answer.GetEntries()), len(messages)))
	}
	results := make([]error, len(messages))
	for i, e := range answer.GetEntries() {
		results[i] = statusErr(e.GetStatus())
	}
	return results, nil
}

// Change makes a delivery end after invisible.
func (c *Client) Change(ctx context.Context, group, topic string, m *pb.Message, invisible time.Duration) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.ChangeInvisibleDuration(ctx, &pb.ChangeInvisibleDurationRequest{
		Group: resource(group), Topic: resource(topic), InvisibleDuration: durationpb.New(invisible),
		ReceiptHandle: m.GetSystemProperties().GetReceiptHandle(), MessageId: m.GetSystemProperties().GetMessageId(),
	})
	if err != nil {
		return err
	}
	return statusErr(answer.GetStatus())
}

// Forward moves a message to the group's dead letters.
func (c *Client) Forward(ctx context.Context, group, topic string, m *pb.Message) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.ForwardMessageToDeadLetterQueue(ctx, &pb.ForwardMessageToDeadLetterQueueRequest{
		Group: resource(group), Topic: resource(topic),
		ReceiptHandle: m.GetSystemProperties().GetReceiptHandle(), MessageId: m.GetSystemProperties().GetMessageId(),
	})
	if err != nil {
		return err
	}
	return statusErr(answer.GetStatus())
}

// Pull reads from an offset on, without a lease, and returns where to go on.
func (c *Client) Pull(ctx context.Context, group, topic string, queue int32, offset int64, poll time.Duration) (messages []*pb.Message, next int64, err error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	stream, err := c.rpc.PullMessage(ctx, &pb.PullMessageRequest{
		Group: resource(group), MessageQueue: queueOf(topic, queue), Offset: offset, BatchSize: 32,
		FilterExpression:   &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"},
		LongPollingTimeout: durationpb.New(poll),
	})
	if err != nil {
		return nil, offset, err
	}
	next = offset
	var status error
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return messages, next, status
		}
		if err != nil {
			return messages, next, err
		}
		switch content := frame.GetContent().(type) {
		case *pb.PullMessageResponse_Status:
			if code := content.Status.GetCode(); code != pb.Code_MESSAGE_NOT_FOUND {
				status = statusErr(content.Status)
			}
		case *pb.PullMessageResponse_Message:
			messages = append(messages, content.Message)
		case *pb.PullMessageResponse_NextOffset:
			next = content.NextOffset
		}
	}
}

// End returns the offset that the next message of a queue will get, First the oldest one that there is.
func (c *Client) End(ctx context.Context, topic string, queue int32) (int64, error) {
	return c.bound(ctx, topic, queue, pb.QueryOffsetPolicy_END)
}

// First returns the offset of a queue's oldest message.
func (c *Client) First(ctx context.Context, topic string, queue int32) (int64, error) {
	return c.bound(ctx, topic, queue, pb.QueryOffsetPolicy_BEGINNING)
}

func (c *Client) bound(ctx context.Context, topic string, queue int32, policy pb.QueryOffsetPolicy) (int64, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.QueryOffset(ctx, &pb.QueryOffsetRequest{MessageQueue: queueOf(topic, queue), QueryOffsetPolicy: policy})
	if err != nil {
		return 0, err
	}
	return answer.GetOffset(), statusErr(answer.GetStatus())
}

// Committed returns a group's committed offset, -1 if it has none.
func (c *Client) Committed(ctx context.Context, group, topic string, queue int32) (int64, error) {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.GetOffset(ctx, &pb.GetOffsetRequest{Group: resource(group), MessageQueue: queueOf(topic, queue)})
	if err != nil {
		return 0, err
	}
	if answer.GetStatus().GetCode() == pb.Code_OFFSET_NOT_FOUND {
		return -1, nil
	}
	return answer.GetOffset(), statusErr(answer.GetStatus())
}

// Commit commits a group's offset.
func (c *Client) Commit(ctx context.Context, group, topic string, queue int32, offset int64) error {
	ctx, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.rpc.UpdateOffset(ctx, &pb.UpdateOffsetRequest{Group: resource(group), MessageQueue: queueOf(topic, queue), Offset: offset})
	if err != nil {
		return err
	}
	return statusErr(answer.GetStatus())
}

// seen is a delivered message as the ledger wants it; topic is the one that it was asked for.
func seen(topic string, m *pb.Message) *ledger.Seen {
	p := m.GetSystemProperties()
	return &ledger.Seen{
		Place: ledger.Place{Topic: topic, Queue: p.GetQueueId(), Offset: p.GetQueueOffset()},
		Name:  p.GetMessageId(), Tag: p.GetTag(), Body: m.GetBody(),
	}
}
