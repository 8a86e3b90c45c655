// Package offloadtest has a shard without a log file: what the offloader and history are tested with, and a model of
// what they must give back.
package offloadtest
