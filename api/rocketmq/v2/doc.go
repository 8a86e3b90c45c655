// Package rocketmqv2 is RocketMQ's gRPC v2 protocol: its messages and MessagingService.
//
// Field numbers, names and the path of the service are the published ones, so every official
// client speaks it. The messages are registered with the protobuf runtime under a package of ours:
// a program may link this package and the official Go client.
package rocketmqv2
