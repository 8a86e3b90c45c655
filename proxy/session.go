package proxy

import (
	"sync"
	"time"
)

// ClientKind says what a client does.
type ClientKind uint8

// The kinds of clients.
const (
	UnknownClient ClientKind = iota
	Producer
	PushConsumer
	SimpleConsumer
	PullConsumer
)

// String returns the kind as metrics label it.
func (k ClientKind) String() string {
	switch k {
	case Producer:
		return "producer"
	case PushConsumer:
		return "push"
	case SimpleConsumer:
		return "simple"
	case PullConsumer:
		return "pull"
	case UnknownClient:
		return "unknown"
	default:
		return "unknown"
	}
}

// Client is what a client has said of itself.
type Client struct {
	ID       string
	Kind     ClientKind
	Language string // in the protocol's spelling, "" if not said
	Protocol string // "grpc" or "remoting"
	Group    string // of a consumer
}

// Sessions are the clients of one proxy. They are soft state: a client that is not here is served with
// the defaults, and one that goes silent is forgotten by the age of its last sign of life, not because
// a stream ended. It is safe for concurrent use.
type Sessions struct {
	max    int
	expiry time.Duration

	mu struct {
		sync.RWMutex
		clients map[string]*session
	}
}

// session is a client and when it was last heard of.
type session struct {
	client Client
	seen   time.Time
}

func newSessions(limit int, expiry time.Duration) *Sessions {
	s := &Sessions{max: limit, expiry: expiry}
	s.mu.clients = map[string]*session{}
	return s
}

// Put remembers what a client said of itself, in place of what it had said before. It reports false if
// there is no room for one more.
func (s *Sessions) Put(client Client, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.mu.clients[client.ID]; !known && len(s.mu.clients) >= s.max {
		return false
	}
	s.mu.clients[client.ID] = &session{client: client, seen: now}
	return true
}

// Touch notes a sign of life. A client that has said nothing of itself yet is remembered as fallback.
func (s *Sessions) Touch(id string, fallback Client, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.mu.clients[id]; known != nil {
		known.seen = now
		return
	}
	if len(s.mu.clients) < s.max {
		fallback.ID = id
		s.mu.clients[id] = &session{client: fallback, seen: now}
	}
}

// Get returns what a client has said of itself.
func (s *Sessions) Get(id string) (Client, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if known := s.mu.clients[id]; known != nil {
		return known.client, true
	}
	return Client{}, false
}

// Clients returns all clients, in no order.
func (s *Sessions) Clients() []Client {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Client, 0, len(s.mu.clients))
	for _, known := range s.mu.clients {
		out = append(out, known.client)
	}
	return out
}

// remove forgets a client.
func (s *Sessions) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.clients, id)
}

// sweep forgets the clients that have been silent for too long and returns the living ones that consume.
func (s *Sessions) sweep(now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var consumers []string
	for id, known := range s.mu.clients {
		switch {
		case now.Sub(known.seen) >= s.expiry:
			delete(s.mu.clients, id)
		case known.client.Kind != Producer:
			consumers = append(consumers, id)
		}
	}
	return consumers
}
