package grpcapi

import (
	"context"
	"errors"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// statusError is a refusal with a code of the protocol: what validation answers.
type statusError struct {
	code pb.Code
	text string
}

// Error returns the text that the client reads.
func (e *statusError) Error() string { return e.text }

// refuse returns a refusal.
func refuse(code pb.Code, text string) error { return &statusError{code: code, text: text} }

// sentinelCodes says which code stands for which error. The first that fits counts: an error that is
// storelayer.ErrFenced and storelayer.ErrUnknown is of unknown outcome first.
var sentinelCodes = []struct {
	err  error
	code pb.Code
}{
	{storelayer.ErrUnknown, pb.Code_MASTER_PERSISTENCE_TIMEOUT},
	{storelayer.ErrOverloaded, pb.Code_TOO_MANY_REQUESTS},
	{storelayer.ErrDiskMark, pb.Code_TOO_MANY_REQUESTS},
	{storelayer.ErrFenced, pb.Code_HA_NOT_AVAILABLE},
	{storelayer.ErrClosed, pb.Code_HA_NOT_AVAILABLE},
	{storelayer.ErrInvalidHandle, pb.Code_INVALID_RECEIPT_HANDLE},
	{storelayer.ErrQueueNotFound, pb.Code_TOPIC_NOT_FOUND},
	{storelayer.ErrGroupNotFound, pb.Code_CONSUMER_GROUP_NOT_FOUND},
	{storelayer.ErrOffsetNotFound, pb.Code_OFFSET_NOT_FOUND},
	{storelayer.ErrNotReplicated, pb.Code_UNSUPPORTED},
	{proxy.ErrTopicNotFound, pb.Code_TOPIC_NOT_FOUND},
	{proxy.ErrGroupNotFound, pb.Code_CONSUMER_GROUP_NOT_FOUND},
	{proxy.ErrGone, pb.Code_ILLEGAL_OFFSET},
	{proxy.ErrHistory, pb.Code_INTERNAL_SERVER_ERROR},
	{proxy.ErrNoShard, pb.Code_INTERNAL_SERVER_ERROR},
	{filter.ErrInvalid, pb.Code_ILLEGAL_FILTER_EXPRESSION},
	{message.ErrInvalid, pb.Code_BAD_REQUEST},
	{message.ErrCorrupt, pb.Code_INTERNAL_SERVER_ERROR},
	{meta.ErrInvalid, pb.Code_BAD_REQUEST},
	{meta.ErrExists, pb.Code_BAD_REQUEST},
	{meta.ErrTooLarge, pb.Code_BAD_REQUEST},
	{meta.ErrNotFound, pb.Code_NOT_FOUND},
	{meta.ErrNotHolder, pb.Code_HA_NOT_AVAILABLE},
	{meta.ErrConflict, pb.Code_INTERNAL_SERVER_ERROR},
	{meta.ErrUnavailable, pb.Code_TOO_MANY_REQUESTS},
	{meta.ErrUnknown, pb.Code_INTERNAL_SERVER_ERROR},
	{meta.ErrDamaged, pb.Code_INTERNAL_SERVER_ERROR},
	{context.DeadlineExceeded, pb.Code_PROXY_TIMEOUT},
	{context.Canceled, pb.Code_INTERNAL_SERVER_ERROR},
}

// codeOf returns the code that stands for an error; OK for nil.
func codeOf(err error) pb.Code {
	if err == nil {
		return pb.Code_OK
	}
	if refused, ok := errors.AsType[*statusError](err); ok {
		return refused.code
	}
	if _, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); ok {
		return pb.Code_ILLEGAL_OFFSET
	}
	for _, s := range sentinelCodes {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return pb.Code_INTERNAL_SERVER_ERROR
}

// statusOf returns the Status that stands for an error; OK for nil.
func statusOf(err error) *pb.Status {
	if err == nil {
		return &pb.Status{Code: pb.Code_OK, Message: "OK"}
	}
	return &pb.Status{Code: codeOf(err), Message: err.Error()}
}

// combine returns the Status of a request whose entries have these: theirs if it is one and the same.
func combine(entries []*pb.Status) *pb.Status {
	for _, s := range entries[1:] {
		if s.GetCode() != entries[0].GetCode() {
			return &pb.Status{Code: pb.Code_MULTIPLE_RESULTS, Message: "the entries have different results"}
		}
	}
	return &pb.Status{Code: entries[0].GetCode(), Message: entries[0].GetMessage()}
}
