package nats

import (
	"errors"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stratamq/stratamq/meta"
)

// Codes of JetStream's answers that the client library has no name for.
const (
	codeStorageExceeded jetstream.ErrorCode = 10047 // "insufficient storage resources available"
	codeStreamNotMatch  jetstream.ErrorCode = 10060 // "expected stream does not match"
	codeMessageTooLarge jetstream.ErrorCode = 10054 // "message size exceeds maximum allowed"
)

// writeOutcome says what an error of a write means. Only what is certain not to have been stored is
// a refusal; everything else, a time-out first of all, is unknown.
func writeOutcome(err error) error {
	if errors.Is(err, natsgo.ErrReconnectBufExceeded) || errors.Is(err, natsgo.ErrNoResponders) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) {
		return meta.ErrUnavailable
	}
	if errors.Is(err, natsgo.ErrMaxPayload) {
		return meta.ErrTooLarge
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return meta.ErrUnknown
	}
	switch api.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return meta.ErrConflict
	case codeMessageTooLarge:
		return meta.ErrTooLarge
	case codeStorageExceeded, codeStreamNotMatch:
		return meta.ErrUnavailable
	default:
		return meta.ErrUnknown
	}
}
