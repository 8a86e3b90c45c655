package shardfake

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// Directory is topics and groups in memory. It is safe for concurrent use.
type Directory struct {
	mu struct {
		sync.Mutex
		topics map[string]*meta.Topic
		groups map[string]*meta.Group
	}
}

// NewDirectory returns a directory with NORMAL topics of two queues on shard 1.
func NewDirectory(topics ...string) *Directory {
	d := &Directory{}
	d.mu.topics, d.mu.groups = map[string]*meta.Topic{}, map[string]*meta.Group{}
	for _, name := range topics {
		d.Put(meta.Topic{Name: name, Queues: 2, Shards: []message.ShardID{1, 1}, Type: meta.TypeNormal, Ack: meta.AckDurable})
	}
	return d
}

// Put adds a topic and gives it an id.
func (d *Directory) Put(t meta.Topic) *meta.Topic {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.ID, t.Version = message.TopicID(len(d.mu.topics)+1), 1
	d.mu.topics[t.Name] = &t
	return &t
}

// PutGroup adds a group.
func (d *Directory) PutGroup(g meta.Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.groups[g.Name] = &g
}

// TopicByName returns a topic or meta.ErrNotFound.
func (d *Directory) TopicByName(_ context.Context, name string) (*meta.Topic, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t := d.mu.topics[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("topic %q: %w", name, meta.ErrNotFound)
}

// GroupByName returns a group or meta.ErrNotFound.
func (d *Directory) GroupByName(_ context.Context, name string) (*meta.Group, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g := d.mu.groups[name]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("group %q: %w", name, meta.ErrNotFound)
}

// EnsureGroup returns a group, made with the defaults if there was none.
func (d *Directory) EnsureGroup(_ context.Context, name string) (*meta.Group, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.groups[name] == nil {
		g := meta.DefaultGroup(name, time.Now())
		d.mu.groups[name] = &g
	}
	return d.mu.groups[name], nil
}
