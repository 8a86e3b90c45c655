package grpcapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
)

// Limits of a connection. There are official clients that ping every 60 s without a call under way.
const (
	maxStreams        = 1000
	maxHeaderBytes    = 64 << 10
	minPingInterval   = 20 * time.Second
	connectionTimeout = 10 * time.Second // for the first byte, TLS and HTTP/2's preface
	deadPeerAfter     = 2 * time.Minute  // of silence it is pinged
	deadPeerTimeout   = 20 * time.Second
)

// streamWorkers is how many goroutines serve calls one after the other and so keep the stacks that they have grown; a
// call that finds none free, as behind long polls, gets a goroutine of its own.
const streamWorkers = 64

// Server serves RocketMQ's gRPC v2 protocol. It is safe for concurrent use.
type Server struct {
	pb.UnimplementedMessagingServiceServer

	config       Config
	proxy        *proxy.Proxy
	log          *slog.Logger
	metrics      *Metrics
	advertised   *pb.Endpoints // nil: the address that the client came by
	bodyTooLarge string        // the text of a refusal

	grpc     *grpc.Server
	inFlight byteBudget
	polls    atomic.Int64
}

// New returns a server in front of p. Creds are those of the listener, see listen.Credentials.
func New(config Config, p *proxy.Proxy, creds credentials.TransportCredentials, metrics *Metrics, log *slog.Logger) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config:       config,
		proxy:        p,
		log:          log,
		metrics:      metrics,
		bodyTooLarge: fmt.Sprintf("message body is larger than %d bytes", config.MaxBodySize),
		inFlight:     byteBudget{limit: config.MaxInFlightBytes},
	}
	metrics.inFlight(&s.inFlight.used, &s.polls)
	if config.Advertise != "" {
		address, err := splitHostPort(config.Advertise)
		if err != nil {
			return nil, err
		}
		s.advertised = endpointsOf([]hostPort{address})
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(creds),
		grpc.ForceServerCodecV2(newCodec(&s.inFlight)),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(maxInflated+maxRequestBytes),
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: deadPeerAfter, Timeout: deadPeerTimeout}),
	)
	s.grpc.RegisterService(serviceDesc(), s)
	return s, nil
}

// serviceDesc is the published service, with SendMessage taken past the generated decoder.
func serviceDesc() *grpc.ServiceDesc {
	desc := pb.MessagingService_ServiceDesc
	desc.ServiceName = pb.ServiceName
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		if desc.Methods[i].MethodName == "SendMessage" {
			desc.Methods[i].Handler = sendMessageHandler
		}
	}
	return &desc
}

// Serve accepts connections until Drain, or until ctx ends, which cuts them off.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, s.grpc.Stop)
	defer stop()
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// Drain ends the service in peace: no new connection or call, long polls answered at once, Telemetry
// streams closed, sends under way answered. What has not ended with ctx is cut off.
func (s *Server) Drain(ctx context.Context) error {
	s.proxy.Drain()
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return fmt.Errorf("calls were cut off: %w", context.Cause(ctx))
	}
}

// answer notes the outcome of a call and returns the Status that says it.
func (s *Server) answer(rpc string, err error) *pb.Status {
	status := statusOf(err)
	s.metrics.answered(rpc, status.GetCode())
	if status.GetCode() == pb.Code_INTERNAL_SERVER_ERROR {
		s.log.Error("call failed", "rpc", rpc, "err", err)
	}
	return status
}

// group returns the consumer group that a resource names, made on its first use if that is allowed.
func (s *Server) group(ctx context.Context, r *pb.Resource) (*meta.Group, error) {
	name, err := groupName(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.proxy.Group(ctx, name)
}
