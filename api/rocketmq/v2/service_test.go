package rocketmqv2_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	rocketmqv2 "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// server answers QueryRoute and has nothing else.
type server struct {
	rocketmqv2.UnimplementedMessagingServiceServer
}

func (server) QueryRoute(_ context.Context, r *rocketmqv2.QueryRouteRequest) (*rocketmqv2.QueryRouteResponse, error) {
	return &rocketmqv2.QueryRouteResponse{
		Status: &rocketmqv2.Status{Code: rocketmqv2.Code_TOPIC_NOT_FOUND, Message: r.GetTopic().GetName()},
	}, nil
}

// TestServedUnderPublishedName calls a server and looks at the path that went over the wire.
func TestServedUnderPublishedName(t *testing.T) {
	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	paths := make(chan string, 1)
	s := grpc.NewServer(grpc.UnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			paths <- info.FullMethod
			return handler(ctx, req)
		}))
	rocketmqv2.RegisterMessagingService(s, server{})
	if _, ok := s.GetServiceInfo()[rocketmqv2.ServiceName]; !ok {
		t.Fatalf("services %v, want %s", s.GetServiceInfo(), rocketmqv2.ServiceName)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(lis) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })

	request := &rocketmqv2.QueryRouteRequest{Topic: &rocketmqv2.Resource{Name: "orders"}}
	response, err := rocketmqv2.NewMessagingServiceClient(conn).QueryRoute(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if got := response.GetStatus(); got.GetCode() != 40402 || got.GetMessage() != "orders" {
		t.Errorf("status %v", got)
	}
	if path := <-paths; path != "/apache.rocketmq.v2.MessagingService/QueryRoute" {
		t.Errorf("path %s", path)
	}
}

// TestNothingRegisteredUnderPublishedName holds what lets the official Go client be linked too: its
// init would panic on any file path or name that it has in common with ours. Its names are those of
// package apache.rocketmq.v2, its paths either below apache/ or bare, like "service.proto".
func TestNothingRegisteredUnderPublishedName(t *testing.T) {
	if f, err := protoregistry.GlobalFiles.FindFileByPath("stratamq/rocketmq/v2/service.proto"); err != nil {
		t.Fatal(f, err)
	}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		bare := !strings.Contains(f.Path(), "/")
		if bare || strings.HasPrefix(f.Path(), "apache/") || strings.HasPrefix(string(f.Package()), "apache.") {
			t.Errorf("%s registers package %s", f.Path(), f.Package())
		}
		return true
	})
}
