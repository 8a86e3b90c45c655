package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/torture/ledger"
)

// Mode is how the consumers of a group behave.
type Mode uint8

// The modes.
const (
	Settle Mode = iota // acknowledges everything
	Picky              // acknowledges, refuses, forwards to the dead letters, or says nothing
	Never              // refuses everything, until the broker makes a dead letter of it
)

// Group is a consumer group of the load.
type Group struct {
	Name        string
	Topic       string
	Mode        Mode
	MaxAttempts uint32
	Consumers   int
}

// Config says how much of what.
type Config struct {
	Topics    []string // the later in the list, the fewer messages
	Queues    int32    // of each topic
	Producers int
	Groups    []Group
	PullGroup string // commits offsets of the first topic
	Seed      uint64
}

// DefaultConfig is a load that two cores can bear beside the broker.
func DefaultConfig(seed uint64) Config {
	return Config{
		Topics:    []string{"torture-a", "torture-b", "torture-c"},
		Queues:    3,
		Producers: 5,
		Groups: []Group{
			{Name: "settle", Topic: "torture-a", Mode: Settle, MaxAttempts: 1000, Consumers: 2},
			{Name: "picky", Topic: "torture-b", Mode: Picky, MaxAttempts: 3, Consumers: 2},
			{Name: "never", Topic: "torture-c", Mode: Never, MaxAttempts: 2, Consumers: 1},
		},
		PullGroup: "pull",
		Seed:      seed,
	}
}

// Load is the clients of one data folder.
type Load struct {
	config Config
	ledger *ledger.Ledger

	verified map[queueKey]int64 // up to here a queue has been read and checked
	lifeFrom uint64             // the first id of the life before

	mu struct {
		sync.Mutex
		pulled map[int32]int64 // the pull group's own offset in each queue
	}
}

type queueKey struct {
	topic string
	queue int32
}

// New returns a load that tells l.
func New(config Config, l *ledger.Ledger) *Load {
	load := &Load{config: config, ledger: l, verified: make(map[queueKey]int64)}
	load.mu.pulled = make(map[int32]int64)
	for _, g := range config.Groups {
		l.Subscribe(g.Name, g.Topic)
	}
	return load
}

// Run is the load of one life: it ends with ctx. Errors of the broker are outcomes, not errors of Run.
func (l *Load) Run(ctx context.Context, address string, life uint64) error {
	var clients []*Client
	dial := func(name string) (*Client, error) {
		c, err := Dial(address, fmt.Sprintf("%s@%d", name, life))
		if err == nil {
			clients = append(clients, c)
		}
		return c, err
	}
	defer func() {
		for _, c := range clients {
			_ = c.Close() // the broker at the other end has been killed
		}
	}()
	var workers sync.WaitGroup
	defer workers.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop() // before the wait, if a dial fails
	for i := range l.config.Producers {
		c, err := dial(fmt.Sprintf("producer-%d", i))
		if err != nil {
			return err
		}
		rng := rand.New(rand.NewPCG(l.config.Seed+life, uint64(i)))
		workers.Go(func() { l.produce(ctx, c, rng) })
	}
	for _, g := range l.config.Groups {
		for i := range g.Consumers {
			c, err := dial(fmt.Sprintf("%s-%d", g.Name, i))
			if err != nil {
				return err
			}
			rng := rand.New(rand.NewPCG(l.config.Seed+life, uint64(100+i)))
			workers.Go(func() { l.consume(ctx, c, g, rng) })
		}
	}
	c, err := dial("puller")
	if err != nil {
		return err
	}
	for q := range l.config.Queues {
		workers.Go(func() { l.pull(ctx, c, q) })
	}
	<-ctx.Done()
	return nil
}

// pause keeps a worker whose calls fail at once from spinning, until the life ends.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// refusedCodes are answers that say for certain that nothing was stored.
var refusedCodes = map[pb.Code]bool{
	pb.Code_BAD_REQUEST: true, pb.Code_ILLEGAL_TOPIC: true, pb.Code_ILLEGAL_MESSAGE_TAG: true,
	pb.Code_ILLEGAL_MESSAGE_KEY: true, pb.Code_ILLEGAL_MESSAGE_ID: true, pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY: true,
	pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE: true, pb.Code_MESSAGE_CORRUPTED: true,
	pb.Code_TOPIC_NOT_FOUND: true, pb.Code_FORBIDDEN: true, pb.Code_MESSAGE_BODY_TOO_LARGE: true,
	pb.Code_MESSAGE_BODY_EMPTY: true, pb.Code_MESSAGE_PROPERTIES_TOO_LARGE: true,
	pb.Code_TOO_MANY_REQUESTS: true, pb.Code_HA_NOT_AVAILABLE: true,
}

// produce sends until ctx ends, one message at a time or several, now and then one that must be refused.
func (l *Load) produce(ctx context.Context, c *Client, rng *rand.Rand) {
	for ctx.Err() == nil {
		n, refuse := 1, false
		switch k := rng.IntN(20); {
		case k == 0:
			refuse = true
			n = 1 + rng.IntN(3)
		case k < 6:
			n = 2 + rng.IntN(15)
		}
		topic := l.config.Topics[min(rng.IntN(len(l.config.Topics)), rng.IntN(len(l.config.Topics)))] // fewer to the last
		if err := l.send(ctx, c, topic, n, refuse); err != nil {
			pause(ctx)
		}
	}
}

// send sends n messages in one request and tells the ledger.
func (l *Load) send(ctx context.Context, c *Client, topic string, n int, refuse bool) error {
	ids := make([]uint64, n)
	messages := make([]*pb.Message, n)
	for i := range n {
		id := l.ledger.Begin(topic)
		ids[i] = id
		messages[i] = NewMessage(topic, l.ledger.Name(id), ledger.Tag(id), l.ledger.Body(id))
	}
	if refuse {
		messages[n-1].SystemProperties.Tag = new("a|b")
	}
	// The life ends by a kill, so the call must not be cut short by our own context: its answer may be on the way.
	offsets, err := c.Send(context.WithoutCancel(ctx), messages)
	switch {
	case err == nil && refuse:
		l.ledger.Report("I2", "messages %d to %d with a tag that is refused were accepted", ids[0], ids[n-1])
		fallthrough
	case err == nil:
		for i, id := range ids {
			l.ledger.Sent(id, offsets[i])
		}
		return nil
	case refusedCodes[CodeOf(err)]:
		for _, id := range ids {
			l.ledger.SentRefused(id)
		}
		if refuse {
			return nil
		}
	}
	return err
}
