package proxy

import (
	"context"
	"errors"
	"fmt"

	"github.com/stratamq/stratamq/meta"
)

// Directory knows topics and groups by name, from memory: it asks the metadata store at most about a name
// that it has not seen. What it returns is shared and never changed.
type Directory interface {
	// TopicByName returns the live topic of a name, or meta.ErrNotFound.
	TopicByName(ctx context.Context, name string) (*meta.Topic, error)
	// GroupByName returns the live group of a name, or meta.ErrNotFound.
	GroupByName(ctx context.Context, name string) (*meta.Group, error)
	// EnsureGroup returns the live group of a name, and makes one with the defaults if there is none. It does
	// not wait for the metadata store to write it: the record follows.
	EnsureGroup(ctx context.Context, name string) (*meta.Group, error)
}

// Topic returns the live topic of a name, or [ErrTopicNotFound].
func (p *Proxy) Topic(ctx context.Context, name string) (*meta.Topic, error) {
	topic, err := p.directory.TopicByName(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrTopicNotFound, name)
	}
	return topic, err
}

// Group returns the group of a name. Its first use makes it with the defaults, unless the configuration
// says that groups are only made by hand: then it is [ErrGroupNotFound].
func (p *Proxy) Group(ctx context.Context, name string) (*meta.Group, error) {
	if p.config.AutoCreateGroups {
		return p.directory.EnsureGroup(ctx, name)
	}
	group, err := p.directory.GroupByName(ctx, name)
	if errors.Is(err, meta.ErrNotFound) {
		return nil, fmt.Errorf("%w: %s", ErrGroupNotFound, name)
	}
	return group, err
}
