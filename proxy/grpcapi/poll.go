package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
)

// answerMargin is how long before the caller's deadline an empty poll is answered, unless a quarter of
// the time is less: an answer that comes too late leaves messages invisible that nobody got.
const answerMargin = 500 * time.Millisecond

// pollTime returns how long a poll may wait: min(asked or fallback, 20 s, remaining − min(500 ms, remaining/4)).
func pollTime(ctx context.Context, asked *durationpb.Duration, fallback time.Duration, now time.Time) time.Duration {
	poll := fallback
	if asked != nil && asked.CheckValid() == nil {
		poll = asked.AsDuration()
	}
	poll = min(poll, maxPoll)
	if deadline, ok := ctx.Deadline(); ok {
		remaining := deadline.Sub(now)
		poll = min(poll, remaining-min(answerMargin, remaining/4))
	}
	return max(poll, 0)
}
