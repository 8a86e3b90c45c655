package grpcapi

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// maxBatch bounds the messages of one SendMessage.
const maxBatch = 1024

// SendMessage stores messages of one topic, all or none, and answers after they are as safe as the topic asks.
// The queue is the server's choice, the same for all messages of a request; what a client says of it, and of
// everything else that is absent on publish, is ignored. There is one entry per message, in order, with the
// client's own message id. A refusal has no entries; an outcome that is not known has one per message.
//
// The request is not unmarshalled: it is scanned where the transport left it.

// sendCall is one SendMessage on its way. It is used again, so that a send allocates little.
type sendCall struct {
	data       mem.Buffer // the request; the messages below alias it until the call ends
	overloaded bool       // the request was refused before anybody looked at it
	counted    int64      // bytes that the budget has for it

	request    SendRequest
	messages   []message.Message
	properties []byte // of all messages, one after the other
}

var sendCalls = sync.Pool{New: func() any { return new(sendCall) }}

// maxKeptProperties bounds the memory of a call that is kept for the next one, in bytes.
const maxKeptProperties = 64 << 10

// sendMessageHandler takes the place of the generated one, which would unmarshal.
func sendMessageHandler(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order of the parameters is that of a grpc.MethodHandler
	s := srv.(*Server)
	call := sendCalls.Get().(*sendCall)
	defer s.endSend(call)
	if err := decode(call); err != nil {
		return nil, err
	}
	appended, err := s.sendMessage(ctx, call)
	s.metrics.answered("SendMessage", codeOf(err))
	return &rawFrame{data: sendAnswer(call, appended, err)}, nil
}

// endSend gives back what a call holds.
func (s *Server) endSend(call *sendCall) {
	if call.data != nil {
		call.data.Free()
	}
	s.inFlight.give(call.counted)
	if cap(call.properties) > maxKeptProperties {
		return
	}
	clear(call.messages) // they alias the request
	call.request.Reset()
	*call = sendCall{request: call.request, messages: call.messages[:0], properties: call.properties[:0]}
	sendCalls.Put(call)
}

func (s *Server) sendMessage(ctx context.Context, call *sendCall) ([]storelayer.Appended, error) {
	if call.overloaded {
		return nil, errOverloaded
	}
	if _, err := clientID(ctx); err != nil {
		return nil, err
	}
	if err := call.request.Scan(call.data.ReadOnlyData()); err != nil {
		return nil, scanRefusal(err)
	}
	topic, err := s.sendTopic(ctx, call.request.Messages)
	if err != nil {
		return nil, err
	}
	for i := range call.request.Messages {
		if err := s.checkMessage(&call.request.Messages[i]); err != nil {
			return nil, err
		}
		if err := checkType(topic, &call.request.Messages[i]); err != nil {
			return nil, err
		}
	}
	if err := call.build(topic, peerAddress(ctx), time.Now()); err != nil {
		return nil, err
	}
	return s.proxy.Send(ctx, topic, proxy.AnyQueue, call.messages)
}

// scanRefusal says why a request could not be scanned.
func scanRefusal(err error) error {
	switch {
	case errors.Is(err, errTooManyMessages):
		return refuse(pb.Code_BAD_REQUEST, "request has more than 1024 messages")
	case errors.Is(err, errTooManyProperties):
		return refuse(pb.Code_MESSAGE_PROPERTIES_TOO_LARGE, "more than 128 user properties, or more than 1024 keys")
	default:
		return refuse(pb.Code_BAD_REQUEST, "request is malformed")
	}
}

// errOverloaded refuses a request that there was no room for.
var errOverloaded = refuse(pb.Code_TOO_MANY_REQUESTS, "too many bytes of requests are being served")

// sendTopic returns the one topic of all messages.
func (s *Server) sendTopic(ctx context.Context, messages []SendMessage) (*meta.Topic, error) {
	if len(messages) == 0 {
		return nil, refuse(pb.Code_MESSAGE_CORRUPTED, "request has no message")
	}
	if len(messages) > maxBatch {
		return nil, refuse(pb.Code_BAD_REQUEST, "request has more than 1024 messages")
	}
	first := &messages[0]
	for i := range messages[1:] {
		m := &messages[1+i]
		if !bytes.Equal(m.Topic, first.Topic) || !bytes.Equal(m.Namespace, first.Namespace) {
			return nil, refuse(pb.Code_MESSAGE_CORRUPTED, "messages of one request have different topics")
		}
	}
	name, err := fullTopic(ctx, string(first.Namespace), string(first.Topic))
	if err != nil {
		return nil, err
	}
	return s.proxy.Topic(ctx, name)
}

// build makes the messages to be stored of the scanned ones. They alias the request.
func (c *sendCall) build(topic *meta.Topic, peer netip.AddrPort, now time.Time) error {
	total := 0
	for i := range c.request.Messages {
		total += c.request.Messages[i].propertiesLen()
	}
	if cap(c.properties) < total { // no growing below, it would move what the messages alias
		c.properties = make([]byte, 0, total)
	}
	for i := range c.request.Messages {
		m := &c.request.Messages[i]
		start := len(c.properties)
		var err error
		if c.properties, err = m.appendProperties(c.properties); err != nil {
			return err
		}
		stored := message.Message{
			Topic:      topic.Name,
			Body:       m.Body,
			BodyCRC:    message.BodyCRC(m.Body),
			BornTime:   now.UnixMilli(),
			BornHost:   peer,
			Properties: c.properties[start:len(c.properties):len(c.properties)],
		}
		if m.BornTime.Set {
			stored.BornTime = m.BornTime.Seconds*1000 + int64(m.BornTime.Nanos)/1e6
		}
		if m.Encoding == pb.Encoding_GZIP {
			stored.SysFlag = message.SysFlagCompressed
		}
		c.messages = append(c.messages, stored)
		if err := stored.Check(); err != nil {
			return err
		}
	}
	return nil
}

// propertyOverhead is what joining adds to a property of the protocol: its name and two separators.
const propertyOverhead = 32

func (m *SendMessage) propertiesLen() int {
	n := 6*propertyOverhead + len(m.Tag) + len(m.MessageID) + len(m.BornHost) + len(m.TraceContext)
	for _, key := range m.Keys {
		n += len(key) + 1
	}
	for _, p := range m.Properties {
		n += len(p.Key) + len(p.Value) + 2
	}
	return n
}

// appendProperties joins a message's properties as they are stored, the protocol's own first.
func (m *SendMessage) appendProperties(dst []byte) ([]byte, error) {
	var err error
	add := func(key string, value []byte) {
		if len(value) > 0 && err == nil {
			dst, err = message.AppendProperty(dst, key, value)
		}
	}
	add(message.PropertyMessageID, m.MessageID)
	add(message.PropertyTag, m.Tag)
	if len(m.Keys) == 1 {
		add(message.PropertyKeys, m.Keys[0])
	} else if len(m.Keys) > 1 {
		add(message.PropertyKeys, bytes.Join(m.Keys, keySeparator))
	}
	add(message.PropertyBornHost, m.BornHost)
	add(message.PropertyTraceContext, m.TraceContext)
	for _, p := range m.Properties {
		if err == nil {
			dst, err = message.AppendProperty(dst, p.Key, p.Value)
		}
	}
	return dst, err
}

// peerAddress returns who is at the other end of the connection.
func peerAddress(ctx context.Context) netip.AddrPort {
	if p, ok := peer.FromContext(ctx); ok {
		if tcp, ok := p.Addr.(*net.TCPAddr); ok {
			return tcp.AddrPort()
		}
	}
	return netip.AddrPort{}
}

// Field numbers of the answer.
const (
	fieldSendStatus  = 1
	fieldSendEntries = 2

	fieldEntryStatus        = 1
	fieldEntryMessageID     = 2
	fieldEntryTransactionID = 3
	fieldEntryOffset        = 4

	fieldStatusCode    = 1
	fieldStatusMessage = 2
)

// sendAnswer encodes a SendMessageResponse. A test compares it with the generated code.
func sendAnswer(c *sendCall, appended []storelayer.Appended, err error) mem.Buffer {
	code, text := codeOf(err), "OK"
	if err != nil {
		text = err.Error()
	}
	statusLen := sizeStatus(code, text)
	size := 1 + protowire.SizeBytes(statusLen)
	entries := len(appended)
	if code == pb.Code_MASTER_PERSISTENCE_TIMEOUT {
		entries = len(c.request.Messages) // not known of any of them
	}
	for i := range entries {
		size += 2 + 5 + c.entryLen(i, appended, statusLen)
	}
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(size)
	dst := appendStatus((*buffer)[:0], fieldSendStatus, code, text, statusLen)
	for i := range entries {
		dst = protowire.AppendTag(dst, fieldSendEntries, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(c.entryLen(i, appended, statusLen)))
		dst = appendStatus(dst, fieldEntryStatus, code, text, statusLen)
		dst = appendBytes(dst, fieldEntryMessageID, c.request.Messages[i].MessageID)
		dst = appendBytes(dst, fieldEntryTransactionID, c.request.Messages[i].MessageID)
		if len(appended) > 0 && appended[i].Offset != 0 {
			dst = appendVarint(dst, fieldEntryOffset, uint64(appended[i].Offset))
		}
	}
	*buffer = dst
	return mem.NewBuffer(buffer, pool)
}

// entryLen is the size of an encoded entry, in bytes.
func (c *sendCall) entryLen(i int, appended []storelayer.Appended, statusLen int) int {
	n := 1 + protowire.SizeBytes(statusLen) + 2*sizeText(len(c.request.Messages[i].MessageID))
	if len(appended) > 0 && appended[i].Offset != 0 {
		n += 1 + protowire.SizeVarint(uint64(appended[i].Offset))
	}
	return n
}

func sizeStatus(code pb.Code, text string) int {
	return 1 + protowire.SizeVarint(uint64(code)) + sizeText(len(text))
}

func appendStatus(dst []byte, number protowire.Number, code pb.Code, text string, size int) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(size))
	dst = appendVarint(dst, fieldStatusCode, uint64(code))
	return appendBytes(dst, fieldStatusMessage, text)
}
