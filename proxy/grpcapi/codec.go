package grpcapi

import (
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// maxRequestBytes bounds any request; that of other RPCs than SendMessage is bounded further.
const (
	maxRequestBytes      = 16 << 20
	maxSmallRequestBytes = 1 << 20
)

// codec is protobuf, with two ways around it: a send request is taken as it came, and an answer that is
// encoded already goes out as it is.
type codec struct {
	encoding.CodecV2

	inFlight *byteBudget
}

func newCodec(inFlight *byteBudget) codec {
	return codec{CodecV2: encoding.GetCodecV2(proto.Name), inFlight: inFlight}
}

// Marshal returns an answer's bytes.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if raw, ok := v.(*rawFrame); ok {
		return mem.BufferSlice{raw.data}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal decodes a request. A send is counted before anybody looks at it; one that there is no room for
// is marked, so that it is refused inside the answer.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if call, ok := v.(*sendCall); ok {
		size := int64(data.Len())
		if !c.inFlight.take(size) {
			call.overloaded = true
			return nil
		}
		call.counted = size
		call.data = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	if size := data.Len(); size > maxSmallRequestBytes {
		return fmt.Errorf("request of %d bytes, at most %d", size, maxSmallRequestBytes)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// byteBudget counts bytes that are being served against a bound.
type byteBudget struct {
	limit int64
	used  atomic.Int64
}

// take counts n more bytes; false, and nothing counted, if there is no room.
func (b *byteBudget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// give returns n bytes.
func (b *byteBudget) give(n int64) { b.used.Add(-n) }
