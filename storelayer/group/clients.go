package group

import "sync"

// How long an auto-renewed lease lasts, in milliseconds.
const (
	MaxAutoLease = 3 * 60 * 60 * 1000 // in all
	clientSilent = 30 * 1000          // a client without a report for so long has ended
	startGrace   = 60 * 1000          // after a start no client has ended, since its proxy may not have reported yet
)

// Clients knows which clients of a shard live. It is soft state, safe for concurrent use; it holds the clients
// reported in the last 30 s, give or take the pace of Sweep.
type Clients struct {
	start int64

	mu struct {
		sync.Mutex
		seen map[string]int64 // Unix milliseconds of the last report
		gone map[string]int64 // Unix milliseconds of the end
	}
}

// NewClients returns the knowledge of a leader that began at start, in Unix milliseconds.
func NewClients(start int64) *Clients {
	c := &Clients{start: start}
	c.mu.seen = make(map[string]int64)
	c.mu.gone = make(map[string]int64)
	return c
}

// Report says that clients live at the instant now.
func (c *Clients) Report(now int64, clients ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, client := range clients {
		client = clientName(client)
		c.mu.seen[client] = max(c.mu.seen[client], now)
		delete(c.mu.gone, client)
	}
}

// Gone says that a client has ended, so that even the grace of a start does not hold its leases.
func (c *Clients) Gone(now int64, client string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client = clientName(client)
	delete(c.mu.seen, client)
	c.mu.gone[client] = now
}

// Horizon returns the instant at which the auto-renewed leases of a client end, if nobody reports it before: 30 s after
// its last report, and not before 60 s after the leader's start.
func (c *Clients) Horizon(client string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	client = clientName(client)
	if gone, ok := c.mu.gone[client]; ok {
		return gone
	}
	horizon := c.start + startGrace
	if seen, ok := c.mu.seen[client]; ok {
		horizon = max(horizon, seen+clientSilent)
	}
	return horizon
}

// Sweep forgets the clients that ended before now, once the grace of the start is over and forgetting changes nothing.
func (c *Clients) Sweep(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for client, seen := range c.mu.seen {
		if seen+clientSilent < now {
			delete(c.mu.seen, client)
		}
	}
	if c.start+startGrace < now {
		clear(c.mu.gone)
	}
}

// clientName returns what is kept of a client's name: records have room for no more.
func clientName(client string) string { return client[:min(len(client), maxNameLen)] }

// clientRef stands for a client's name in a delivery, so that deliveries hold no pointers. Zero is no client.
type clientRef uint32

// clientNames gives every name a number.
type clientNames struct {
	names []string // by number
	refs  map[string]clientRef
}

func newClientNames() clientNames {
	return clientNames{names: []string{""}, refs: map[string]clientRef{"": 0}}
}

// ref returns the number of a name.
func (n *clientNames) ref(name []byte) clientRef {
	if ref, ok := n.refs[string(name)]; ok {
		return ref
	}
	ref := clientRef(len(n.names))
	n.names = append(n.names, string(name))
	n.refs[n.names[ref]] = ref
	return ref
}
