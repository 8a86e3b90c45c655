package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stratamq/stratamq/meta"
)

const (
	// firstUseTimeout bounds the question whether a group that is not in memory is stored: long enough
	// for a store that answers, short enough for a receive that does not want to wait.
	firstUseTimeout = 250 * time.Millisecond

	// maxUnsaved bounds the groups whose record is not stored yet.
	maxUnsaved = 4096
)

// saver holds the names of groups to be stored.
type saver struct {
	mu struct {
		sync.Mutex
		names map[string]struct{}
	}
	wake chan struct{} // capacity 1: there are names
}

func (s *saver) init() {
	s.mu.names = make(map[string]struct{})
	s.wake = make(chan struct{}, 1)
}

// EnsureGroup returns the group, and makes it with the default settings if there is none: at once
// in memory, in the store behind, by Run. It fails with [meta.ErrInvalid] for a name that no group
// can have and with [meta.ErrUnavailable] while too many groups wait for the store.
func (c *Catalog) EnsureGroup(ctx context.Context, name string) (*meta.Group, error) {
	if g, ok := c.groups.load(name); ok && g.Live() {
		return g, nil
	}
	ask, cancel := context.WithTimeout(ctx, firstUseTimeout)
	defer cancel()
	// An error of the store does not matter: a record that is there after all wins when ours is saved.
	old, err := c.groups.ask(ask, name)
	if err == nil && old.Live() {
		return old, nil
	}
	if errors.Is(err, meta.ErrDamaged) {
		return nil, fmt.Errorf("group %q: %w", name, err)
	}
	fresh := meta.DefaultGroup(name, c.now())
	if err := fresh.Validate(); err != nil {
		return nil, err
	}
	if old, ok := c.groups.load(name); ok {
		fresh.Generation, fresh.Version = old.Generation+1, old.Version+1
	}
	if c.saver.full() {
		return nil, fmt.Errorf("%w: %d groups wait to be stored", meta.ErrUnavailable, maxUnsaved)
	}
	g := c.groups.putProvisional(name, &fresh, func(have *meta.Group) bool {
		return !have.Live() && have.Generation < fresh.Generation
	})
	c.saver.add(name) // behind the put: the saver drops a name that is not in memory
	return g, nil
}

// CreateGroup makes a group with these settings. It fails with [meta.ErrExists] or [meta.ErrInvalid].
func (c *Catalog) CreateGroup(ctx context.Context, g meta.Group) (*meta.Group, error) {
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("create group %q: %w", g.Name, err)
	}
	g = g.Clone()
	g.Created, g.Deleted = c.now().UTC(), time.Time{}
	applied := false
	return c.changeGroup(ctx, g.Name, func(r *meta.Group, found bool) error {
		if found && r.Live() {
			if applied && r.Created.Equal(g.Created) {
				return nil // by the attempt before
			}
			return fmt.Errorf("group %q %w", g.Name, meta.ErrExists)
		}
		applied = true
		generation, version := r.Generation+1, r.Version+1
		*r = g
		r.Generation, r.Version = generation, version
		return nil
	})
}

// UpdateGroup changes a live group's settings. Change must be safe to apply twice. A group that was
// only used so far is stored first.
func (c *Catalog) UpdateGroup(ctx context.Context, name string, change func(*meta.Group) error) (*meta.Group, error) {
	return c.changeGroup(ctx, name, func(r *meta.Group, found bool) error {
		if !found || !r.Live() {
			used, ok := c.groups.load(name)
			if !ok || !used.Live() {
				return fmt.Errorf("group %q: %w", name, meta.ErrNotFound)
			}
			*r = used.Clone()
		}
		old := r.Clone()
		if err := change(r); err != nil {
			return err
		}
		if r.Name != old.Name || r.Generation != old.Generation || !r.Created.Equal(old.Created) || !r.Deleted.IsZero() {
			return fmt.Errorf("%w: name, generation and life of group %q are not settings", meta.ErrInvalid, name)
		}
		r.Version = old.Version + 1
		return r.Validate()
	})
}

// DeleteGroup makes a live group a tombstone; a later group of this name has the next generation.
func (c *Catalog) DeleteGroup(ctx context.Context, name string) (*meta.Group, error) {
	generation := uint64(0) // that the first attempt saw
	return c.changeGroup(ctx, name, func(r *meta.Group, found bool) error {
		if !found {
			used, ok := c.groups.load(name)
			if !ok || !used.Live() {
				return fmt.Errorf("group %q: %w", name, meta.ErrNotFound)
			}
			*r = used.Clone()
		}
		if generation != 0 && r.Generation == generation && !r.Live() {
			return nil // by the attempt before
		}
		if !r.Live() || generation != 0 && r.Generation != generation {
			return fmt.Errorf("group %q: %w", name, meta.ErrNotFound)
		}
		generation = r.Generation
		r.Deleted, r.Version = c.now().UTC(), r.Version+1
		return nil
	})
}

func (c *Catalog) changeGroup(ctx context.Context, name string, change func(*meta.Group, bool) error) (*meta.Group, error) {
	g, revision, err := meta.MutateRecord(ctx, c.client, meta.BucketGroups, name, change)
	if err != nil {
		return nil, err
	}
	c.groups.put(name, &g, revision)
	return &g, nil
}

// saveGroups stores the groups that first uses made, until ctx ends.
func (c *Catalog) saveGroups(ctx context.Context) error {
	for {
		select {
		case <-c.saver.wake:
		case <-ctx.Done():
			return nil
		}
		failed := false
		for _, name := range c.saver.take() {
			if err := c.saveGroup(ctx, name); err != nil && ctx.Err() == nil {
				c.log.Warn("group not stored yet", "group", name, "err", err)
				c.saver.add(name)
				failed = true
			}
		}
		if failed {
			rest(ctx, savePause)
		}
	}
}

// saveGroup stores a group that is in memory. A live record that is in the store wins.
func (c *Catalog) saveGroup(ctx context.Context, name string) error {
	g, ok := c.groups.load(name)
	if !ok || !g.Live() {
		return nil
	}
	_, err := c.changeGroup(ctx, name, func(r *meta.Group, found bool) error {
		if found && (r.Live() || r.Generation >= g.Generation) {
			return nil
		}
		*r = g.Clone()
		return nil
	})
	return err
}

// full reports whether no more names should be added.
func (s *saver) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.names) >= maxUnsaved
}

// add notes a name.
func (s *saver) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.names[name] = struct{}{}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the names and forgets them: one that is added while it is being stored counts anew.
func (s *saver) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.mu.names))
	clear(s.mu.names)
	return names
}
