package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// Methods of the RocketMQ gRPC v2 protocol.
const (
	methodSend    = "/" + pb.ServiceName + "/SendMessage"
	methodReceive = "/" + pb.ServiceName + "/ReceiveMessage"
	methodAck     = "/" + pb.ServiceName + "/AckMessage"
)

// bodySize is the size of every message and echo, in bytes.
const bodySize = 1 << 10

// maxAnswer bounds an answer: 32 messages, or a full batch of large ones.
const maxAnswer = 64 << 20

// client is a set of connections to one server; callers are spread over them.
type client struct{ conns []*grpc.ClientConn }

func dial(addr string, connections int) (*client, error) {
	c := new(client)
	for range connections {
		conn, err := grpc.NewClient("passthrough:///"+addr,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxAnswer), grpc.MaxCallSendMsgSize(maxAnswer)))
		if err != nil {
			c.close()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	return c, nil
}

func (c *client) close() {
	for _, conn := range c.conns {
		_ = conn.Close() // it closes once, and nothing is under way
	}
}

// conn returns the connection of one of the callers.
func (c *client) conn(caller int) *grpc.ClientConn { return c.conns[caller%len(c.conns)] }

// callerContext carries the headers that every RocketMQ client sends.
func callerContext(ctx context.Context, caller int) context.Context {
	return metadata.AppendToOutgoingContext(ctx,
		"x-mq-client-id", fmt.Sprintf("bench@%d", caller),
		"x-mq-language", "GO",
		"x-mq-protocol", "v2",
		"x-mq-client-version", "5.0.0")
}

// sendRequest is an encoded SendMessageRequest whose ids and bodies can be changed where they lie.
type sendRequest struct {
	data   []byte
	ids    [][]byte
	bodies [][]byte
	next   uint64 // number of the last message
}

// idLen is the length of a message id: when its request was made and its number, hexadecimal.
const idLen = 32

// newSendRequest encodes a request of count messages as an official client would, with bodies from body.
func newSendRequest(topic string, count int, body func() []byte) (*sendRequest, error) {
	now := timestamppb.Now()
	request := new(pb.SendMessageRequest)
	for range count {
		request.Messages = append(request.Messages, &pb.Message{
			Topic: &pb.Resource{Name: topic},
			SystemProperties: &pb.SystemProperties{
				MessageId:     fmt.Sprintf("%016x%016x", now.AsTime().UnixNano(), 0),
				BodyEncoding:  pb.Encoding_IDENTITY,
				MessageType:   pb.MessageType_NORMAL,
				BornTimestamp: now,
				BornHost:      "bench.local",
			},
			Body: body(),
		})
	}
	data, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	r := &sendRequest{data: data}
	return r, r.locate()
}

// locate finds the ids and bodies in the encoded request.
func (r *sendRequest) locate() error {
	return each(r.data, func(_ protowire.Number, value []byte) error {
		return each(value, func(number protowire.Number, value []byte) error {
			switch number {
			case 3:
				return each(value, func(number protowire.Number, value []byte) error {
					if number == 3 {
						r.ids = append(r.ids, value)
					}
					return nil
				})
			case 4:
				r.bodies = append(r.bodies, value)
			default:
			}
			return nil
		})
	})
}

// renew gives every message an id that was not used before.
func (r *sendRequest) renew() {
	var number [8]byte
	for _, id := range r.ids {
		r.next++
		for i := range number {
			number[i] = byte(r.next >> (8 * (7 - i)))
		}
		hex.Encode(id[idLen-16:], number[:])
	}
}

// send sends the request and checks that it was stored.
func (r *sendRequest) send(ctx context.Context, conn *grpc.ClientConn, answer *reply) (int, error) {
	r.renew()
	if err := conn.Invoke(ctx, methodSend, r.data, answer); err != nil {
		return 0, err
	}
	return len(r.ids), checkAnswer(answer.data)
}

// sender returns an op that sends count messages in one request.
func sender(c *client, topic string, count int, body func() []byte) func(caller int) (op, error) {
	return func(caller int) (op, error) {
		request, err := newSendRequest(topic, count, body)
		if err != nil {
			return nil, err
		}
		answer, conn := new(reply), c.conn(caller)
		return func(ctx context.Context) (int, error) { return request.send(ctx, conn, answer) }, nil
	}
}

// plainBody returns a body that a compressor gains nothing on.
func plainBody() []byte {
	body := make([]byte, bodySize)
	fill := fastRand(time.Now().UnixNano())
	for i := range body {
		body[i] = byte(fill.next())
	}
	return body
}

// receiver receives up to batch messages at a time and acknowledges them in one request.
type receiver struct {
	conn    *grpc.ClientConn
	request []byte
	ack     *ackRequest
	frame   reply
	answer  reply
}

func newReceiver(conn *grpc.ClientConn, topic, group string, batch int, poll time.Duration) (*receiver, error) {
	name := &pb.Resource{Name: topic}
	request, err := proto.Marshal(&pb.ReceiveMessageRequest{
		Group:              &pb.Resource{Name: group},
		MessageQueue:       &pb.MessageQueue{Topic: name, Id: -1},
		FilterExpression:   &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: "*"},
		BatchSize:          int32(batch),
		InvisibleDuration:  durationpb.New(time.Minute),
		LongPollingTimeout: durationpb.New(poll),
	})
	if err != nil {
		return nil, err
	}
	prefix, err := proto.Marshal(&pb.AckMessageRequest{Group: &pb.Resource{Name: group}, Topic: name})
	if err != nil {
		return nil, err
	}
	return &receiver{conn: conn, request: request, ack: newAckRequest(prefix)}, nil
}

var receiveDesc = &grpc.StreamDesc{StreamName: "ReceiveMessage", ServerStreams: true}

// receive does one long poll and acknowledges what came, each message shown to use first. It returns how many came.
func (r *receiver) receive(ctx context.Context, use func(received)) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := r.conn.NewStream(ctx, receiveDesc, methodReceive)
	if err != nil {
		return 0, err
	}
	if err := stream.SendMsg(r.request); err != nil {
		return 0, err
	}
	if err := stream.CloseSend(); err != nil {
		return 0, err
	}
	r.ack.reset()
	for {
		err := stream.RecvMsg(&r.frame)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if err := r.takeFrame(use); err != nil {
			return 0, err
		}
	}
	if r.ack.count == 0 {
		return 0, nil
	}
	if err := r.conn.Invoke(ctx, methodAck, r.ack.data, &r.answer); err != nil {
		return 0, err
	}
	return r.ack.count, checkAnswer(r.answer.data)
}

// takeFrame reads a frame of a receive's answer: a status, a message or the time of delivery.
func (r *receiver) takeFrame(use func(received)) error {
	return each(r.frame.data, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			err := checkStatus(value)
			if status, ok := errors.AsType[*statusError](err); ok && status.code == pb.Code_MESSAGE_NOT_FOUND {
				return nil // an empty poll
			}
			return err
		case 2:
			m, err := scanMessage(value)
			if err != nil {
				return err
			}
			use(m)
			r.ack.add(m)
		default: // the time of delivery
		}
		return nil
	})
}
