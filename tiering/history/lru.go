package history

import (
	"container/list"
	"sync"
)

// lru keeps values up to a sum of costs, and lets go of those that were not used for longest. One that costs more than
// all of it is not kept.
type lru[K comparable, V any] struct {
	limit int64

	mu struct {
		sync.Mutex
		cost  int64
		order list.List // of *lruItem[K, V], the last used one in front
		items map[K]*list.Element
	}
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
	cost  int64
}

func newLRU[K comparable, V any](limit int64) *lru[K, V] {
	c := &lru[K, V]{limit: limit}
	c.mu.items = make(map[K]*list.Element)
	return c
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.mu.items[key]
	if !ok {
		return value, false
	}
	c.mu.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

func (c *lru[K, V]) put(key K, value V, cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(key)
	if cost > c.limit {
		return
	}
	c.mu.items[key] = c.mu.order.PushFront(&lruItem[K, V]{key: key, value: value, cost: cost})
	c.mu.cost += cost
	for c.mu.cost > c.limit {
		c.removeLocked(c.mu.order.Back().Value.(*lruItem[K, V]).key)
	}
}

// count returns how many values are as wanted.
func (c *lru[K, V]) count(want func(V) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.mu.items {
		if want(e.Value.(*lruItem[K, V]).value) {
			n++
		}
	}
	return n
}

// take returns a value and forgets it.
func (c *lru[K, V]) take(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, found := c.mu.items[key]; found {
		value, ok = e.Value.(*lruItem[K, V]).value, true
	}
	c.removeLocked(key)
	return value, ok
}

func (c *lru[K, V]) removeLocked(key K) {
	e, ok := c.mu.items[key]
	if !ok {
		return
	}
	item := c.mu.order.Remove(e).(*lruItem[K, V])
	delete(c.mu.items, key)
	c.mu.cost -= item.cost
}
