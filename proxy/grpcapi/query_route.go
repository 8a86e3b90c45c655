package grpcapi

import (
	"context"
	"net"
	"net/netip"

	"google.golang.org/grpc/peer"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
)

// QueryRoute says where the queues of a topic are: one logical broker with queues 0 … N-1, all of them
// readable and writable, at the address that the client came by. Unlike the Java server it never creates
// a topic, and it corrects the scheme of an address: some clients cannot dial a name that is called IPv4.
func (s *Server) QueryRoute(ctx context.Context, req *pb.QueryRouteRequest) (*pb.QueryRouteResponse, error) {
	queues, err := s.queryRoute(ctx, req)
	return &pb.QueryRouteResponse{Status: s.answer("QueryRoute", err), MessageQueues: queues}, nil
}

func (s *Server) queryRoute(ctx context.Context, req *pb.QueryRouteRequest) ([]*pb.MessageQueue, error) {
	if _, err := clientID(ctx); err != nil {
		return nil, err
	}
	topic, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return nil, err
	}
	broker, err := s.broker(ctx, req.GetEndpoints())
	if err != nil {
		return nil, err
	}
	types := []pb.MessageType{acceptedType(topic.Type)}
	queues := make([]*pb.MessageQueue, s.proxy.QueueCount(topic))
	for i := range queues {
		queues[i] = &pb.MessageQueue{
			Topic:              req.GetTopic(),
			Id:                 int32(i),
			Permission:         pb.Permission_READ_WRITE,
			Broker:             broker,
			AcceptMessageTypes: types,
		}
	}
	return queues, nil
}

// topic returns the topic that a resource names.
func (s *Server) topic(ctx context.Context, r *pb.Resource) (*meta.Topic, error) {
	name, err := topicName(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.proxy.Topic(ctx, name)
}

// acceptedType is a topic's type in the protocol's words.
func acceptedType(t meta.MessageType) pb.MessageType {
	switch t {
	case meta.TypeFIFO:
		return pb.MessageType_FIFO
	case meta.TypeDelay:
		return pb.MessageType_DELAY
	case meta.TypeTransaction:
		return pb.MessageType_TRANSACTION
	case meta.TypePriority:
		return pb.MessageType_PRIORITY
	case meta.TypeLite:
		return pb.MessageType_LITE
	case meta.TypeNormal:
		return pb.MessageType_NORMAL
	default:
		return pb.MessageType_NORMAL
	}
}

// broker returns the one logical broker, a master, at the address that is configured or that the client
// came by.
func (s *Server) broker(ctx context.Context, asked *pb.Endpoints) (*pb.Broker, error) {
	endpoints := s.advertised
	if endpoints == nil {
		var err error
		if endpoints, err = echoEndpoints(ctx, asked); err != nil {
			return nil, err
		}
	}
	return &pb.Broker{Name: s.config.BrokerName, Id: 0, Endpoints: endpoints}, nil
}

// echoEndpoints returns the access point in the client's own words, or the connection's local address if
// the client names none.
func echoEndpoints(ctx context.Context, asked *pb.Endpoints) (*pb.Endpoints, error) {
	var addresses []hostPort
	for _, a := range asked.GetAddresses() {
		if a.GetHost() == "" || a.GetPort() < 1 || a.GetPort() > 65535 {
			return nil, refuse(pb.Code_ILLEGAL_ACCESS_POINT, "endpoints have an address without a host or with a port outside 1 to 65535")
		}
		addresses = append(addresses, hostPort{a.GetHost(), a.GetPort()})
	}
	if len(addresses) > maxEndpoints {
		return nil, refuse(pb.Code_ILLEGAL_ACCESS_POINT, "endpoints have more than 64 addresses")
	}
	if len(addresses) == 0 {
		if p, ok := peer.FromContext(ctx); ok && p.LocalAddr != nil {
			if local, ok := p.LocalAddr.(*net.TCPAddr); ok {
				addresses = []hostPort{{local.IP.String(), int32(local.Port)}}
			}
		}
	}
	if len(addresses) == 0 {
		return nil, refuse(pb.Code_ILLEGAL_ACCESS_POINT, "endpoints are empty")
	}
	return endpointsOf(addresses), nil
}

// maxEndpoints bounds the addresses of an access point.
const maxEndpoints = 64

// endpointsOf builds endpoints whose scheme fits their hosts: literals of one family, in the given order,
// or exactly one name.
func endpointsOf(addresses []hostPort) *pb.Endpoints {
	scheme := schemeOf(addresses[0].host)
	out := &pb.Endpoints{Scheme: scheme}
	for _, a := range addresses {
		if schemeOf(a.host) != scheme {
			continue // a mixed list cannot be said in this protocol; what the first one is counts
		}
		out.Addresses = append(out.Addresses, &pb.Address{Host: a.host, Port: a.port})
		if scheme == pb.AddressScheme_DOMAIN_NAME {
			break
		}
	}
	return out
}

func schemeOf(host string) pb.AddressScheme {
	addr, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return pb.AddressScheme_DOMAIN_NAME
	case addr.Is4():
		return pb.AddressScheme_IPv4
	default:
		return pb.AddressScheme_IPv6
	}
}
