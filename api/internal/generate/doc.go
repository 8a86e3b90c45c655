// Command generate makes the Go code of the api module from its .proto files, without protoc:
//
//	*.proto ──protocompile──► descriptors ──protoc-gen-*──► *.pb.go, *_grpc.pb.go, *.connect.go
//
// It runs from its own folder and writes into the api module, or below -out:
//
//	GOWORK=off go -C api/internal/generate run . [-out DIR]
//
// The plug-ins are built by tools/install in the versions that tools/versions pins.
//
// # The public name of the client protocol
//
// The messages of the client protocol are registered under a package of ours, so that a program
// may also link the official Go client, whose code registers the published one; the protobuf
// runtime refuses to register a name twice. The service has to be served under its published
// name. Service code registers nothing with that runtime, only names paths: so the gRPC plug-in is
// shown the same files under the published package (publicPackages), and the client and server
// code it writes uses the published paths.
package main
