package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

const (
	missLifetime = time.Second     // how long "not found" is believed
	missTimeout  = 2 * time.Second // bound of the question behind a miss
	missParallel = 16              // questions at a time
	missEntries  = 10_000          // names known not to be there; more are forgotten all at once
	watchPause   = 200 * time.Millisecond
	savePause    = time.Second
)

// Catalog is safe for concurrent use. What it returns is shared and must not be changed.
type Catalog struct {
	client *meta.Client
	now    func() time.Time
	log    *slog.Logger

	topics kind[meta.Topic]
	groups kind[meta.Group]
	byID   sync.Map // message.TopicID → *meta.Topic, live ones and the newest tombstone of a name
	saver  saver

	loading atomic.Int32 // buckets whose watch has not been through once
	ready   chan struct{}
}

// New returns a catalog that is empty until Run fills it.
func New(client *meta.Client, now func() time.Time, log *slog.Logger) *Catalog {
	c := &Catalog{client: client, now: now, log: log, ready: make(chan struct{})}
	c.loading.Store(2)
	c.topics.init(meta.BucketTopics, client, now, func(t *meta.Topic) bool { return t.Live() })
	c.groups.init(meta.BucketGroups, client, now, func(g *meta.Group) bool { return g.Live() })
	c.topics.changed = c.topicChanged
	c.saver.init()
	return c
}

// Run watches the store and saves groups until ctx ends. A watch that is lost begins anew.
func (c *Catalog) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return watch(ctx, c, &c.topics) })
	g.Go(func() error { return watch(ctx, c, &c.groups) })
	g.Go(func() error { return c.saveGroups(ctx) })
	return g.Wait()
}

// Ready is closed once every topic and group that was there when Run began is in memory.
func (c *Catalog) Ready() <-chan struct{} { return c.ready }

// TopicByName returns a live topic. It fails with [meta.ErrNotFound], or with [meta.ErrUnavailable] or
// [meta.ErrDamaged] if the name is not in memory and the store cannot tell.
func (c *Catalog) TopicByName(ctx context.Context, name string) (*meta.Topic, error) {
	if t, ok := c.topics.load(name); ok && t.Live() {
		return t, nil
	}
	t, err := c.topics.ask(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", name, err)
	}
	if !t.Live() {
		return nil, fmt.Errorf("topic %q: %w", name, meta.ErrNotFound)
	}
	return t, nil
}

// TopicByID returns a topic that is in memory, or the tombstone of one that was deleted; see
// [meta.Topic.Live]. The store is not asked: its keys are names.
func (c *Catalog) TopicByID(id message.TopicID) (*meta.Topic, bool) {
	v, ok := c.byID.Load(id)
	if !ok {
		return nil, false
	}
	return v.(*meta.Topic), true
}

// GroupByName returns a live group, with the errors of TopicByName.
func (c *Catalog) GroupByName(ctx context.Context, name string) (*meta.Group, error) {
	if g, ok := c.groups.load(name); ok && g.Live() {
		return g, nil
	}
	g, err := c.groups.ask(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("group %q: %w", name, err)
	}
	if !g.Live() {
		return nil, fmt.Errorf("group %q: %w", name, meta.ErrNotFound)
	}
	return g, nil
}

// Topics returns the live topics in memory, sorted by name.
func (c *Catalog) Topics() []*meta.Topic {
	return c.topics.all(func(t *meta.Topic) bool { return t.Live() })
}

// Groups returns the live groups in memory, sorted by name.
func (c *Catalog) Groups() []*meta.Group {
	return c.groups.all(func(g *meta.Group) bool { return g.Live() })
}

// EndedTopics returns the topics and tombstones with ids whose deletion some shard may not have yet.
func (c *Catalog) EndedTopics() []*meta.Topic {
	return c.topics.all(func(t *meta.Topic) bool { return len(t.Ended) > 0 })
}

// topicChanged keeps byID in step; it is called with the lock of topics held.
func (c *Catalog) topicChanged(old, t *meta.Topic) {
	if old != nil && old.ID != t.ID {
		tomb := old.Clone()
		if tomb.Deleted.IsZero() {
			tomb.Deleted = t.Created // the tombstone itself was skipped by the watch
		}
		c.byID.Store(tomb.ID, &tomb)
	}
	c.byID.Store(t.ID, t)
}

// watch keeps one bucket in step until ctx ends.
func watch[T meta.Topic | meta.Group](ctx context.Context, c *Catalog, k *kind[T]) error {
	log := c.log.With("bucket", string(k.bucket))
	loaded := false
	for ctx.Err() == nil {
		events, err := c.client.Store().Watch(ctx, k.bucket)
		if err != nil {
			log.Warn("metadata watch not possible", "err", err)
			rest(ctx, watchPause)
			continue
		}
		shown, complete := make(map[string]struct{}), false
		for e := range events {
			if e.Type == meta.EventSynced {
				// A record never goes away, so one that was here and is not shown was lost below.
				if lost := k.lost(shown); loaded && len(lost) > 0 {
					log.Error("metadata values lost", "keys", lost)
				}
				if !loaded && c.loading.Add(-1) == 0 {
					close(c.ready)
				}
				loaded, complete, shown = true, true, nil
				continue
			}
			if !complete {
				shown[e.Key] = struct{}{}
			}
			if err := k.see(e); err != nil {
				log.Error("metadata value unusable", "key", e.Key, "revision", e.Revision, "err", err)
			}
		}
		rest(ctx, watchPause)
	}
	return nil
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-wait.Done()
}

var errDeleted = errors.New("record deleted instead of marked so")
