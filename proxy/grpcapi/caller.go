package grpcapi

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// The headers that matter here. Others, also unknown x-mq-… ones and an authorization that nobody asked
// for, are accepted and ignored.
const (
	headerClientID  = "x-mq-client-id"
	headerNamespace = "x-mq-namespace"
	headerLanguage  = "x-mq-language"
)

// maxClientIDLen bounds a client id, in bytes.
const maxClientIDLen = 512

// header returns the first value of a header, "" without one.
func header(ctx context.Context, name string) string {
	if values := metadata.ValueFromIncomingContext(ctx, name); len(values) > 0 {
		return values[0]
	}
	return ""
}

// clientID returns who calls, or the refusal that every RPC gives to a caller without a name.
func clientID(ctx context.Context) (string, error) {
	id := header(ctx, headerClientID)
	if strings.TrimSpace(id) == "" {
		return "", refuse(pb.Code_CLIENT_ID_REQUIRED, "header x-mq-client-id is missing")
	}
	if len(id) > maxClientIDLen {
		return "", refuse(pb.Code_BAD_REQUEST, "header x-mq-client-id is longer than 512 bytes")
	}
	return id, nil
}
