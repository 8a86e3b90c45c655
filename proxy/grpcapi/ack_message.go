package grpcapi

import (
	"context"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/storelayer"
)

// maxAckEntries bounds the entries of one AckMessage.
const maxAckEntries = 1024

// AckMessage settles messages for their group, after a sync. There is one result per entry. Acking a settled
// message is OK; a handle that is over or not ours is INVALID_RECEIPT_HANDLE, the one code that stops a
// push consumer's retries (the Java server answers 50001 to one that it cannot parse).
func (s *Server) AckMessage(ctx context.Context, req *pb.AckMessageRequest) (*pb.AckMessageResponse, error) {
	entries, err := s.ackMessage(ctx, req)
	if err != nil {
		return &pb.AckMessageResponse{Status: s.answer("AckMessage", err)}, nil
	}
	statuses := make([]*pb.Status, len(entries))
	for i, e := range entries {
		statuses[i] = e.GetStatus()
	}
	overall := combine(statuses)
	s.metrics.answered("AckMessage", overall.GetCode())
	return &pb.AckMessageResponse{Status: overall, Entries: entries}, nil
}

func (s *Server) ackMessage(ctx context.Context, req *pb.AckMessageRequest) ([]*pb.AckMessageResultEntry, error) {
	if _, err := clientID(ctx); err != nil {
		return nil, err
	}
	if _, err := topicName(ctx, req.GetTopic()); err != nil {
		return nil, err
	}
	group, err := groupName(ctx, req.GetGroup())
	if err != nil {
		return nil, err
	}
	switch n := len(req.GetEntries()); {
	case n == 0:
		return nil, refuse(pb.Code_BAD_REQUEST, "no entries to acknowledge")
	case n > maxAckEntries:
		return nil, refuse(pb.Code_BAD_REQUEST, "more than 1024 entries to acknowledge")
	}
	handles := make([]storelayer.Handle, 0, len(req.GetEntries()))
	outcomes := make([]error, len(req.GetEntries()))
	for i, entry := range req.GetEntries() {
		var h storelayer.Handle
		if h, outcomes[i] = parseHandle(entry.GetReceiptHandle(), group); outcomes[i] == nil {
			handles = append(handles, h)
		}
	}
	results, err := s.proxy.Ack(ctx, handles)
	if err != nil {
		return nil, err
	}
	ok := statusOf(nil)
	entries := make([]*pb.AckMessageResultEntry, len(outcomes))
	acked := 0
	for i, entry := range req.GetEntries() {
		err := outcomes[i]
		if err == nil {
			err = results[acked]
			acked++
		}
		status := ok
		if err != nil {
			status = statusOf(err)
		}
		entries[i] = &pb.AckMessageResultEntry{MessageId: entry.GetMessageId(), ReceiptHandle: entry.GetReceiptHandle(), Status: status}
	}
	return entries, nil
}

// parseHandle parses a receipt handle and insists that it is the group's own.
func parseHandle(text, group string) (storelayer.Handle, error) {
	h, err := storelayer.ParseHandle(text)
	if err != nil {
		return storelayer.Handle{}, err
	}
	if h.Group != group {
		return storelayer.Handle{}, refuse(pb.Code_INVALID_RECEIPT_HANDLE, "receipt handle is another group's")
	}
	return h, nil
}
