package proxy

import "errors"

// What a proxy answers instead of doing what it was asked. The store layer's errors pass through.
var (
	// ErrTopicNotFound says that there is no topic of this name.
	ErrTopicNotFound = errors.New("topic not found")
	// ErrGroupNotFound says that there is no group of this name and that first use does not make one.
	ErrGroupNotFound = errors.New("consumer group not found")
	// ErrNoShard says that the shard of a queue is not known to this proxy.
	ErrNoShard = errors.New("shard is not known")
	// ErrHistory says that messages that only the bucket has could not be read now.
	ErrHistory = errors.New("history cannot be read")
	// ErrGone says that retention has dropped an offset from the bucket.
	ErrGone = errors.New("message is past its retention")
)
