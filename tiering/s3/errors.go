package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/stratamq/stratamq/tiering"
)

// translate adds to an error of the SDK what it means for an object. Ctx is the caller's, not the attempt's.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause // ours to end; what the transport says about it is noise
	}
	for _, ours := range []error{tiering.ErrCorrupt, tiering.ErrUnavailable, tiering.ErrNotFound, tiering.ErrInvalidKey, tiering.ErrUnsupported} {
		if errors.Is(err, ours) {
			return err
		}
	}
	code, status := "", 0
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return fmt.Errorf("%w: %w", meaning(code, status), plain(err, code, status))
}

// meaning finds the sentinel of an error code, or else of a status; 0 is an error of the network.
func meaning(code string, status int) error {
	switch code {
	case "NoSuchBucket":
		return tiering.ErrNoBucket
	case "NoSuchKey", "NoSuchUpload", "NotFound":
		return tiering.ErrNotFound
	case "PreconditionFailed":
		return tiering.ErrExists
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "InvalidRange", "IncompleteBody":
		return tiering.ErrCorrupt
	case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests":
		return tiering.ErrThrottled
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed":
		return tiering.ErrDenied
	case "RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "InternalError":
		return tiering.ErrUnavailable
	}
	switch {
	case status == http.StatusNotFound:
		return tiering.ErrNotFound
	case status == http.StatusPreconditionFailed:
		return tiering.ErrExists
	case status == http.StatusRequestedRangeNotSatisfiable:
		return tiering.ErrCorrupt
	case status == http.StatusTooManyRequests:
		return tiering.ErrThrottled
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return tiering.ErrDenied
	case status == http.StatusConflict || status == http.StatusRequestTimeout:
		return tiering.ErrUnavailable
	case status == http.StatusNotImplemented || status >= 400 && status < 500:
		return tiering.ErrUnsupported
	default:
		return tiering.ErrUnavailable
	}
}

// plain says the server's answer in one line; the SDK's own text names host ids and retry quotas.
func plain(err error, code string, status int) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok && status != 0 {
		if api.ErrorMessage() == "" {
			return fmt.Errorf("status %d %s", status, code)
		}
		return fmt.Errorf("status %d %s: %s", status, code, api.ErrorMessage())
	}
	return err
}
