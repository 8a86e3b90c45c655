// Package api holds the contracts of StrataMQ, as protobuf and as the Go code made from it:
//
//	rocketmq/v2   what clients speak, RocketMQ's gRPC v2 protocol
//	admin/v1      what the command line and the console speak, over Connect
//
// The generated code is committed. A test keeps it equal to its .proto files; go generate makes
// it again.
package api

//go:generate env GOWORK=off go -C internal/generate run .
