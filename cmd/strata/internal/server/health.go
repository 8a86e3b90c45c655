package server

import (
	"sync"

	"github.com/stratamq/stratamq/proxy/adminapi"
)

// The parts that readiness speaks of.
const (
	partMeta        = "meta"
	partShard       = "shard"
	partObjectStore = "object-store"
	partProxy       = "proxy"
)

// health knows which parts are ready. It is safe for concurrent use.
type health struct {
	mu struct {
		sync.Mutex
		parts []adminapi.Part
	}
}

func newHealth() *health {
	h := &health{}
	for _, name := range []string{partMeta, partShard, partObjectStore, partProxy} {
		// Without a bucket sends and hot receives go on: whoever balances load must not take the broker out.
		h.mu.parts = append(h.mu.parts, adminapi.Part{Name: name, Required: name != partObjectStore, Reason: "starting"})
	}
	return h
}

// set says that a part is ready, or why it is not.
func (h *health) set(name, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.mu.parts {
		if p := &h.mu.parts[i]; p.Name == name {
			p.Ready, p.Reason = reason == "", reason
		}
	}
}

// Parts returns the state of all parts.
func (h *health) Parts() []adminapi.Part {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]adminapi.Part(nil), h.mu.parts...)
}
