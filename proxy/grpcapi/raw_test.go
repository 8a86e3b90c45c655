package grpcapi

import (
	"google.golang.org/grpc"

	"github.com/stratamq/stratamq/meta"
)

var benchTopic = &meta.Topic{Name: testTopic, ID: 1, Queues: 1}

// rawBytes is a request or an answer as it is on the wire.
type rawBytes struct{ data []byte }

// rawCodec sends and receives rawBytes.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.(*rawBytes).data, nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	v.(*rawBytes).data = append([]byte(nil), data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }

func rawCall() grpc.CallOption { return grpc.ForceCodec(rawCodec{}) }
