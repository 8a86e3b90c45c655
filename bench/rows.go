package main

import "context"

// rowSpec is a row of the table: what is done, and how.
type rowSpec struct {
	id      string
	path    string
	peer    bool // belongs to a run with peers, not to the normal one
	measure func(b *bench, ctx context.Context, row *Row) error
}

// rows in the order of the table.
var rows = []rowSpec{
	{id: "send", path: "one gRPC send per message, 1 KiB, durable, 64 callers", measure: (*bench).rowSend},
	{id: "batch16", path: "16 messages per SendMessage, 1 KiB, durable, 64 callers", measure: (*bench).rowBatch},
	{id: "receive32", path: "receive 32 + one AckMessage of 32, 16 callers, hot", measure: (*bench).rowReceive},
	{id: "e2e", path: "end to end at 1,000 msg/s, 16 long polls, durable", measure: (*bench).rowEndToEnd},
	{id: "start", path: "process start on an empty folder to the first acknowledged send, topic creation included", measure: (*bench).rowStart},
	{id: "recovery", path: "recovery of 1 GiB of unsealed log, 1 KiB messages", measure: (*bench).rowRecovery},
	{id: "seal", path: "seal of 1 GiB, 64 queues, JSON-like bodies", measure: (*bench).rowSeal},
	{id: "metadata", path: "metadata written per sealed GiB", measure: (*bench).rowMetadata},
	{id: "cold", path: "cold read of one queue by tiering/history, one core, S3 server on the other, in bytes of records", measure: (*bench).rowCold},
	{id: "rocketmq", path: "the same sends on RocketMQ 5, SYNC_FLUSH, in the same run", peer: true, measure: (*bench).rowRocketMQ},
}

func rowNames() []string {
	names := make([]string, len(rows))
	for i := range rows {
		names[i] = rows[i].id
	}
	return names
}
