package proxy

import (
	"context"
	"fmt"

	"github.com/stratamq/stratamq/meta"
)

// Directory knows topics and groups by name, from memory. What it returns is shared and never changed.
type Directory interface {
	// TopicByName returns the live topic of a name.
	TopicByName(name string) (*meta.Topic, bool)
	// GroupByName returns the live group of a name.
	GroupByName(name string) (*meta.Group, bool)
	// EnsureGroup returns the live group of a name, and makes one with the defaults if there is none. It does
	// not wait for the metadata store: the record follows.
	EnsureGroup(ctx context.Context, name string) (*meta.Group, error)
}

// Topic returns the live topic of a name, or [ErrTopicNotFound].
func (p *Proxy) Topic(name string) (*meta.Topic, error) {
	topic, ok := p.directory.TopicByName(name)
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrTopicNotFound, name)
	}
	return topic, nil
}

// Group returns the group of a name. Its first use makes it with the defaults, unless the configuration
// says that groups are only made by hand: then it is [ErrGroupNotFound].
func (p *Proxy) Group(ctx context.Context, name string) (*meta.Group, error) {
	if group, ok := p.directory.GroupByName(name); ok {
		return group, nil
	}
	if !p.config.AutoCreateGroups {
		return nil, fmt.Errorf("%w: %s", ErrGroupNotFound, name)
	}
	group, err := p.directory.EnsureGroup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("create group %s: %w", name, err)
	}
	return group, nil
}
