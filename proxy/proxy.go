package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer"
)

// aliveEvery is how often shards hear which consumers live; they end one after 30 s of silence.
const aliveEvery = 10 * time.Second

// Proxy serves clients of any protocol. It is safe for concurrent use.
type Proxy struct {
	config    Config
	directory Directory
	shards    []storelayer.Shard // in the order of the cluster's append-only list
	history   History            // nil: nothing is ever only in the bucket
	log       *slog.Logger
	metrics   *Metrics

	sessions *Sessions
	routes   sync.Map // message.TopicID → *route
	cold     coldGate
	pulls    atomic.Uint64 // waits of pulls so far

	draining <-chan struct{}                   // closed by Drain
	drain    func()                            // closes draining; may be called again
	onDrain  func(func()) (forget func() bool) // calls a function once Drain was called
}

// New returns a proxy in front of shards, given in the order of the cluster's list. History may be nil
// if nothing is ever trimmed. Its Run must be started for sessions to expire and renewals to hang on them.
func New(config Config, directory Directory, shards []storelayer.Shard, history History, metrics *Metrics, log *slog.Logger) (*Proxy, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	draining, drain := context.WithCancel(context.Background())
	return &Proxy{
		config:    config,
		directory: directory,
		shards:    shards,
		history:   history,
		log:       log,
		metrics:   metrics,
		sessions:  newSessions(config.MaxSessions, config.SessionExpiry),
		draining:  draining.Done(),
		drain:     drain,
		onDrain:   func(f func()) func() bool { return context.AfterFunc(draining, f) },
	}, nil
}

// Sessions returns the clients that this proxy knows.
func (p *Proxy) Sessions() *Sessions { return p.sessions }

// Metrics returns what p counts.
func (p *Proxy) Metrics() *Metrics { return p.metrics }

// Run forgets clients that have gone silent and reports the living ones to the shards, until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			consumers := p.sessions.sweep(time.Now())
			p.metrics.connections(p.sessions)
			p.forgetRoutes(ctx)
			p.reportAlive(ctx, consumers)
		}
	}
}

// reportAlive tells every shard which consumers live. A shard that cannot be told now is told in the
// next round: two may be missed before it ends a client.
func (p *Proxy) reportAlive(ctx context.Context, clients []string) {
	if len(clients) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aliveEvery)
	defer cancel()
	var group errgroup.Group
	for _, shard := range p.shards {
		group.Go(func() error {
			if err := shard.Alive(ctx, clients); err != nil {
				p.log.Warn("shard was not told which clients live", "shard", shard.ID(), "err", err)
			}
			return nil
		})
	}
	_ = group.Wait() // the functions report their errors themselves
}

// End forgets a client and makes what it had leased with renewal visible again, on every shard.
func (p *Proxy) End(ctx context.Context, client string) error {
	p.sessions.remove(client)
	var group errgroup.Group
	for _, shard := range p.shards {
		group.Go(func() error {
			if err := shard.Gone(ctx, client); err != nil {
				return fmt.Errorf("shard %s: %w", shard.ID(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// Drain answers every long poll at once, now and from now on. What is being stored goes on.
func (p *Proxy) Drain() { p.drain() }

// Draining is closed once Drain was called.
func (p *Proxy) Draining() <-chan struct{} { return p.draining }

// shard returns the shard of a number; there are few.
func (p *Proxy) shard(id message.ShardID) (storelayer.Shard, error) {
	for _, shard := range p.shards {
		if shard.ID() == id {
			return shard, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoShard, id)
}
