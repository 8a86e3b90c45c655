package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// The client side of a measurement must not hide the server's: requests are encoded once and patched in place, answers
// are scanned for the few fields that count. Echoes go the same way.

// rawCodec passes encoded messages through. It has protobuf's name, so a server cannot tell the difference.
type rawCodec struct{}

// reply is an encoded answer whose memory is used for the next one.
type reply struct{ data []byte }

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	data, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("raw codec: cannot encode %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*reply)
	if !ok {
		return fmt.Errorf("raw codec: cannot decode into %T", v)
	}
	n := data.Len()
	if cap(r.data) < n {
		r.data = make([]byte, n)
	}
	r.data = r.data[:n]
	data.CopyTo(r.data)
	return nil
}

var errWire = errors.New("answer is malformed")

// each calls use for every field of an encoded message that has a value of bytes, and passes over the others.
func each(src []byte, use func(number protowire.Number, value []byte) error) error {
	for len(src) > 0 {
		number, kind, n := protowire.ConsumeTag(src)
		if n < 0 {
			return errWire
		}
		src = src[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, src); n < 0 {
				return errWire
			}
			src = src[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(src)
		if n < 0 {
			return errWire
		}
		src = src[n:]
		if err := use(number, value); err != nil {
			return err
		}
	}
	return nil
}

// statusError is an answer that is not OK.
type statusError struct {
	code pb.Code
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("%v: %s", e.code, e.text) }

// checkStatus reads an encoded Status.
func checkStatus(src []byte) error {
	var code uint64
	var text string
	for len(src) > 0 {
		number, kind, n := protowire.ConsumeTag(src)
		if n < 0 {
			return errWire
		}
		src = src[n:]
		switch {
		case number == 1 && kind == protowire.VarintType:
			code, n = protowire.ConsumeVarint(src)
		case number == 2 && kind == protowire.BytesType:
			var value []byte
			value, n = protowire.ConsumeBytes(src)
			text = string(value)
		default:
			n = protowire.ConsumeFieldValue(number, kind, src)
		}
		if n < 0 {
			return errWire
		}
		src = src[n:]
	}
	if pb.Code(code) != pb.Code_OK {
		return &statusError{pb.Code(code), text}
	}
	return nil
}

// checkAnswer reads the Status that is field 1 of every answer.
func checkAnswer(src []byte) error {
	seen := false
	err := each(src, func(number protowire.Number, value []byte) error {
		if number != 1 {
			return nil
		}
		seen = true
		return checkStatus(value)
	})
	if err == nil && !seen {
		return fmt.Errorf("%w: no status", errWire)
	}
	return err
}

// received is what a measurement wants of a delivered message. It aliases the answer.
type received struct{ id, handle, body []byte }

// scanMessage reads an encoded Message.
func scanMessage(src []byte) (received, error) {
	var m received
	err := each(src, func(number protowire.Number, value []byte) error {
		switch number {
		case 3:
			return each(value, func(number protowire.Number, value []byte) error {
				switch number {
				case 3:
					m.id = value
				case 12:
					m.handle = value
				default:
				}
				return nil
			})
		case 4:
			m.body = value
		default:
		}
		return nil
	})
	if err == nil && (len(m.handle) == 0 || len(m.id) == 0) {
		return m, fmt.Errorf("%w: message without id or handle", errWire)
	}
	return m, err
}

// ackRequest collects entries of an AckMessageRequest behind its group and topic.
type ackRequest struct {
	prefix []byte // group and topic, encoded
	data   []byte
	count  int
}

func newAckRequest(prefix []byte) *ackRequest { return &ackRequest{prefix: prefix} }

func (a *ackRequest) reset() { a.data, a.count = append(a.data[:0], a.prefix...), 0 }

func (a *ackRequest) add(m received) {
	size := protowire.SizeTag(1) + protowire.SizeBytes(len(m.id)) + protowire.SizeTag(2) + protowire.SizeBytes(len(m.handle))
	a.data = protowire.AppendTag(a.data, 3, protowire.BytesType)
	a.data = protowire.AppendVarint(a.data, uint64(size))
	a.data = protowire.AppendTag(a.data, 1, protowire.BytesType)
	a.data = protowire.AppendBytes(a.data, m.id)
	a.data = protowire.AppendTag(a.data, 2, protowire.BytesType)
	a.data = protowire.AppendBytes(a.data, m.handle)
	a.count++
}

// stamp notes the time in the first bytes of a body, stamped reads it.
func stamp(body []byte, now time.Time) { binary.LittleEndian.PutUint64(body, uint64(now.UnixNano())) }

func stamped(body []byte) time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(body)))
}
