package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The echo is what gRPC costs by itself: a grpc-go server with generated protobuf types and one unary method that
// answers with the 1 KiB that it got.

const methodEcho = "/bench.Echo/Echo"

// echoCallers is how many callers the echo is measured with.
const echoCallers = 64

// echoServer is a running echo.
type echoServer struct {
	*process
	client *client
}

// echoCommand is the word that makes this program an echo server.
const echoCommand = "echo-server"

// serveEcho is the echo's process.
func serveEcho(ctx context.Context, addr string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "bench.Echo",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: echo}},
	}, nil)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	return s.Serve(l)
}

func echo(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) { //nolint:revive // the order of the parameters is that of a grpc.MethodHandler
	message := new(wrapperspb.BytesValue)
	if err := decode(message); err != nil {
		return nil, err
	}
	return message, nil
}

// startEcho starts the echo and connects to it.
func startEcho(ctx context.Context, connections int) (*echoServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr(ctx)
	if err != nil {
		return nil, err
	}
	p, err := startProcess(ctx, "echo", nil, self, echoCommand, addr)
	if err != nil {
		return nil, err
	}
	if err := p.waitDial(ctx, addr); err != nil {
		p.stop()
		return nil, err
	}
	c, err := dial(addr, connections)
	if err != nil {
		p.stop()
		return nil, err
	}
	return &echoServer{p, c}, nil
}

func (e *echoServer) stop() {
	e.client.close()
	e.process.stop()
}

// load is the echo under callers.
func (e *echoServer) load(callers int) load {
	return load{callers, func(caller int) (op, error) {
		request, err := proto.Marshal(wrapperspb.Bytes(plainBody()))
		if err != nil {
			return nil, err
		}
		answer, conn := new(reply), e.client.conn(caller)
		return func(ctx context.Context) (int, error) {
			if err := conn.Invoke(ctx, methodEcho, request, answer); err != nil {
				return 0, err
			}
			if len(answer.data) != len(request) {
				return 0, fmt.Errorf("an echo of %d bytes came back as %d", len(request), len(answer.data))
			}
			return 1, nil
		}, nil
	}}
}

// contender is the echo's side of every comparison.
func (e *echoServer) contender() contender {
	return contender{name: "echo", cpu: e.cpu, load: same(e.load(echoCallers))}
}

// freeAddr returns a loopback address that nobody listened on a moment ago.
func freeAddr(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// dialPatience bounds the wait for a server to listen; a recovery takes seconds, and longer on a busy machine.
const dialPatience = 2 * time.Minute

// waitDial waits until the process listens. It is another process, so there is nothing to wait on but time.
func (p *process) waitDial(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if err := p.ended(); err != nil {
			return err
		}
		if pause(ctx, time.Millisecond) != nil {
			return fmt.Errorf("%s does not listen: %w: %s", p.name, err, p.log)
		}
	}
}
