// Package grpcapi serves RocketMQ's gRPC v2 protocol: what the official 5.x clients of every language
// speak.
//
// There is one file per RPC; it opens with what the RPC does and where it differs from the Java
// server. Each request goes the same way:
//
//	headers ──► names and limits ──► proxy.Proxy ──► answer, with a Status inside
//
// # Errors
//
// What went wrong travels as a Status in the answer, and the call itself ends well: a gRPC error makes
// some clients drop the connection. code.go is the one place that turns errors into codes.
//
// # Bytes
//
// A SendMessage is not unmarshalled: its request is scanned where the transport left it, and its body
// is copied once, into the log. A received message is encoded once, from the stored form into the frame
// that goes out. Request bytes are counted before anything looks at them, and refused above a bound.
//
// # What it leaves to others
//
// The listener, and the proxy.Proxy behind. Message types other than NORMAL, and everything that needs them,
// are refused in so many words.
package grpcapi
