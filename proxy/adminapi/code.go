package adminapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"connectrpc.com/connect"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// sentinelCodes says which code stands for which error; the first that fits counts.
var sentinelCodes = []struct {
	err  error
	code connect.Code
}{
	{storelayer.ErrUnknown, connect.CodeUnknown},
	{storelayer.ErrOverloaded, connect.CodeResourceExhausted},
	{storelayer.ErrDiskMark, connect.CodeResourceExhausted},
	{storelayer.ErrFenced, connect.CodeUnavailable},
	{storelayer.ErrClosed, connect.CodeUnavailable},
	{storelayer.ErrInvalidHandle, connect.CodeInvalidArgument},
	{storelayer.ErrQueueNotFound, connect.CodeNotFound},
	{storelayer.ErrGroupNotFound, connect.CodeNotFound},
	{storelayer.ErrOffsetNotFound, connect.CodeNotFound},
	{storelayer.ErrNotReplicated, connect.CodeUnimplemented},
	{proxy.ErrTopicNotFound, connect.CodeNotFound},
	{proxy.ErrGroupNotFound, connect.CodeNotFound},
	{proxy.ErrGone, connect.CodeNotFound},
	{proxy.ErrHistory, connect.CodeUnavailable},
	{proxy.ErrNoShard, connect.CodeUnavailable},
	{filter.ErrInvalid, connect.CodeInvalidArgument},
	{message.ErrInvalid, connect.CodeInvalidArgument},
	{message.ErrCorrupt, connect.CodeDataLoss},
	{meta.ErrInvalid, connect.CodeInvalidArgument},
	{meta.ErrExists, connect.CodeAlreadyExists},
	{meta.ErrTooLarge, connect.CodeInvalidArgument},
	{meta.ErrNotFound, connect.CodeNotFound},
	{meta.ErrConflict, connect.CodeAborted},
	{meta.ErrUnavailable, connect.CodeUnavailable},
	{meta.ErrUnknown, connect.CodeUnknown},
	{meta.ErrDamaged, connect.CodeDataLoss},
	{meta.ErrNotHolder, connect.CodeFailedPrecondition},
	{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
	{context.Canceled, connect.CodeCanceled},
}

// codeOf returns the code that stands for an error, which must not be nil.
func codeOf(err error) connect.Code {
	if answer, ok := errors.AsType[*connect.Error](err); ok {
		return answer.Code()
	}
	if _, ok := errors.AsType[*storelayer.OffsetOutOfRangeError](err); ok {
		return connect.CodeOutOfRange
	}
	for _, s := range sentinelCodes {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return connect.CodeInternal
}

// answerError returns the error that a caller gets. One that is our fault is logged as well.
func answerError(log *slog.Logger, procedure string, err error) error {
	code := codeOf(err)
	if code == connect.CodeInternal || code == connect.CodeDataLoss {
		log.Error("admin call failed", "procedure", procedure, "err", err)
	}
	if answer, ok := errors.AsType[*connect.Error](err); ok {
		return answer
	}
	return connect.NewError(code, err)
}

// invalid refuses a request; the sentence names the field.
func invalid(format string, args ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, args...))
}

// notYet refuses what a later version will do.
func notYet(format string, args ...any) error {
	return connect.NewError(connect.CodeUnimplemented, fmt.Errorf("not yet: "+format, args...))
}
