package grpcapi

import (
	"bytes"
	"errors"

	"google.golang.org/protobuf/encoding/protowire"

	rocketmqv2 "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// SendRequest is a SendMessageRequest read in place: every slice in it aliases the request's bytes,
// bodies included, and lives as long as they do. A SendRequest is reused, so that in the steady state
// a scan allocates nothing.
type SendRequest struct {
	Messages []SendMessage
}

// SendMessage is one message of a send. An optional text that the client did not set is nil, one
// that it set to nothing is empty. What a client has no say in is not here: store time and host,
// receipt handle, queue, delivery attempt, dead letter queue; nor is the digest of the body, which
// nobody checks.
type SendMessage struct {
	Namespace  []byte
	Topic      []byte
	Properties []UserProperty // one per key, in the order of the keys' first appearance
	Body       []byte

	Tag          []byte // nil if not set
	Keys         [][]byte
	MessageID    []byte
	Encoding     rocketmqv2.Encoding
	Type         rocketmqv2.MessageType
	BornTime     SendTime
	BornHost     []byte
	DeliveryTime SendTime
	MessageGroup []byte   // nil if not set
	TraceContext []byte   // nil if not set
	RecoveryTime SendTime // the orphaned transaction recovery duration
	LiteTopic    []byte   // nil if not set
	Priority     int32
	HasPriority  bool
}

// UserProperty is one property of the producer's own.
type UserProperty struct {
	Key, Value []byte
}

// SendTime is a protobuf timestamp or duration as it came, not checked for its range.
type SendTime struct {
	Set     bool
	Seconds int64
	Nanos   int32
}

// Bounds of what a scan makes room for. Two bytes of a request can ask for hundreds of bytes of
// memory, so counting its bytes is not enough.
const (
	maxSendMessages   = 4096 // in a request
	maxUserProperties = 128  // entries of one message, repeated keys among them: the protocol's own limit
	maxSendKeys       = 1024 // keys of one message
	maxKeptMessages   = 64   // whose room a SendRequest keeps for the next request
)

// Errors of a request that is well-formed and has more parts than a scan makes room for.
var (
	errTooManyMessages   = errors.New("too many messages in one request")
	errTooManyProperties = errors.New("too many properties or keys in one message")
)

// Scan reads a request, with the results of the generated decoder: fields may come in any order, the
// last one of a single value counts, embedded messages that are repeated merge, unknown fields are
// passed over. It fails with errMalformed where the generated decoder refuses the bytes, and with
// errTooManyMessages or errTooManyProperties above the bounds; r then holds nothing of use.
func (r *SendRequest) Scan(src []byte) error {
	r.Messages = r.Messages[:0]
	f := fields{rest: src}
	for f.next() {
		if f.number != 1 {
			f.skip()
			continue
		}
		value, ok := f.bytes()
		if !ok {
			continue
		}
		if len(r.Messages) == maxSendMessages {
			return errTooManyMessages
		}
		if err := r.add().scan(value); err != nil {
			return err
		}
	}
	return f.err()
}

// Reset drops what r aliases and keeps its room, unless a batch made that larger than most need.
func (r *SendRequest) Reset() {
	if cap(r.Messages) > maxKeptMessages {
		r.Messages = nil
		return
	}
	all := r.Messages[:cap(r.Messages)]
	for i := range all {
		all[i].reset()
	}
	r.Messages = r.Messages[:0]
}

// add makes room for one more message, with the slices of an earlier request if there are any.
func (r *SendRequest) add() *SendMessage {
	if n := len(r.Messages); n < cap(r.Messages) {
		r.Messages = r.Messages[:n+1]
		r.Messages[n].reset()
	} else {
		r.Messages = append(r.Messages, SendMessage{})
	}
	return &r.Messages[len(r.Messages)-1]
}

func (m *SendMessage) reset() {
	clear(m.Properties[:cap(m.Properties)])
	clear(m.Keys[:cap(m.Keys)])
	*m = SendMessage{Properties: m.Properties[:0], Keys: m.Keys[:0]}
}

// scan reads a Message.
func (m *SendMessage) scan(src []byte) error {
	entries := 0 // of the map of user properties
	f := fields{rest: src}
	for f.next() {
		if f.number > 4 {
			f.skip()
			continue
		}
		value, ok := f.bytes()
		if !ok {
			continue
		}
		var err error
		switch f.number {
		case 1:
			err = m.scanTopic(value)
		case 2:
			if entries++; entries > maxUserProperties {
				return errTooManyProperties
			}
			err = m.scanProperty(value)
		case 3:
			err = m.scanSystemProperties(value)
		default: // 4
			m.Body = value
		}
		if err != nil {
			return err
		}
	}
	return f.err()
}

// scanTopic reads a Resource.
func (m *SendMessage) scanTopic(src []byte) error {
	f := fields{rest: src}
	for f.next() {
		switch f.number {
		case 1:
			takeText(&f, &m.Namespace)
		case 2:
			takeText(&f, &m.Topic)
		default:
			f.skip()
		}
	}
	return f.err()
}

// scanProperty reads an entry of the map of user properties. A key or a value that is missing is
// empty; of several entries with one key the last counts.
func (m *SendMessage) scanProperty(src []byte) error {
	var p UserProperty
	f := fields{rest: src}
	for f.next() {
		switch f.number {
		case 1:
			takeText(&f, &p.Key)
		case 2:
			takeText(&f, &p.Value)
		default:
			f.skip()
		}
	}
	if err := f.err(); err != nil {
		return err
	}
	for i := range m.Properties {
		if bytes.Equal(m.Properties[i].Key, p.Key) {
			m.Properties[i].Value = p.Value
			return nil
		}
	}
	m.Properties = append(m.Properties, p)
	return nil
}

// scanSystemProperties reads SystemProperties. Those that a server has no use for are checked as the
// generated decoder checks them, and dropped.
func (m *SendMessage) scanSystemProperties(src []byte) error {
	f := fields{rest: src}
	for f.next() {
		switch f.number {
		case 1:
			takeText(&f, &m.Tag)
		case 2:
			if key, ok := f.text(); ok {
				if len(m.Keys) == maxSendKeys {
					return errTooManyProperties
				}
				m.Keys = append(m.Keys, key)
			}
		case 3:
			takeText(&f, &m.MessageID)
		case 4: // body_digest: a number and a text
			checkTexts(&f, 2, 2)
		case 5:
			if v, ok := f.varint(); ok {
				m.Encoding = rocketmqv2.Encoding(v)
			}
		case 6:
			if v, ok := f.varint(); ok {
				m.Type = rocketmqv2.MessageType(v)
			}
		case 7:
			m.BornTime.take(&f)
		case 8:
			takeText(&f, &m.BornHost)
		case 9, 15: // store_timestamp, invisible_duration
			new(SendTime).take(&f)
		case 10, 12: // store_host, receipt_handle
			f.text()
		case 11:
			m.DeliveryTime.take(&f)
		case 17:
			takeText(&f, &m.MessageGroup)
		case 18:
			takeText(&f, &m.TraceContext)
		case 19:
			m.RecoveryTime.take(&f)
		case 20: // dead_letter_queue: two texts
			checkTexts(&f, 1, 2)
		case 21:
			takeText(&f, &m.LiteTopic)
		case 22:
			if v, ok := f.varint(); ok {
				m.Priority, m.HasPriority = int32(v), true
			}
		default: // among them queue_id, queue_offset and delivery_attempt, which are numbers
			f.skip()
		}
	}
	return f.err()
}

// take reads a Timestamp or a Duration: both are seconds and nanoseconds.
func (t *SendTime) take(f *fields) {
	value, ok := f.bytes()
	if !ok {
		return
	}
	t.Set = true
	in := fields{rest: value}
	for in.next() {
		switch in.number {
		case 1:
			if v, ok := in.varint(); ok {
				t.Seconds = int64(v)
			}
		case 2:
			if v, ok := in.varint(); ok {
				t.Nanos = int32(v)
			}
		default:
			in.skip()
		}
	}
	f.failed = f.failed || in.failed
}

// takeText takes the value as a text into target, unless it is of another type.
func takeText(f *fields, target *[]byte) {
	if text, ok := f.text(); ok {
		*target = text
	}
}

// checkTexts passes over an embedded message whose fields first to last are texts.
func checkTexts(f *fields, first, last protowire.Number) {
	value, ok := f.bytes()
	if !ok {
		return
	}
	in := fields{rest: value}
	for in.next() {
		if in.number >= first && in.number <= last {
			in.text()
		} else {
			in.skip()
		}
	}
	f.failed = f.failed || in.failed
}
