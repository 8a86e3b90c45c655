package grpcapi

import (
	"context"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/proxy"
)

// Heartbeat is a client's sign of life. Unlike with the Java server a client whose Settings have not
// been heard is welcome: it is known by its type until they come.
func (s *Server) Heartbeat(ctx context.Context, req *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	return &pb.HeartbeatResponse{Status: s.answer("Heartbeat", s.heartbeat(ctx, req))}, nil
}

func (s *Server) heartbeat(ctx context.Context, req *pb.HeartbeatRequest) error {
	id, err := clientID(ctx)
	if err != nil {
		return err
	}
	client := proxy.Client{Kind: clientKind(req.GetClientType()), Language: header(ctx, headerLanguage), Protocol: protocol}
	switch client.Kind {
	case proxy.UnknownClient:
		return refuse(pb.Code_UNRECOGNIZED_CLIENT_TYPE, "client type is not known")
	case proxy.Producer: // has no group, or one without a name
	default:
		if client.Group, err = groupName(ctx, req.GetGroup()); err != nil {
			return err
		}
	}
	s.proxy.Sessions().Touch(id, client, time.Now())
	return nil
}

// protocol is what clients of this package are known as.
const protocol = "grpc"

// clientKind is a client type of the protocol in the proxy's words.
func clientKind(t pb.ClientType) proxy.ClientKind {
	switch t {
	case pb.ClientType_PRODUCER:
		return proxy.Producer
	case pb.ClientType_PUSH_CONSUMER, pb.ClientType_LITE_PUSH_CONSUMER:
		return proxy.PushConsumer
	case pb.ClientType_SIMPLE_CONSUMER, pb.ClientType_LITE_SIMPLE_CONSUMER:
		return proxy.SimpleConsumer
	case pb.ClientType_PULL_CONSUMER:
		return proxy.PullConsumer
	case pb.ClientType_CLIENT_TYPE_UNSPECIFIED:
		return proxy.UnknownClient
	default:
		return proxy.UnknownClient
	}
}
