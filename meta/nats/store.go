package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stratamq/stratamq/meta"
)

// Headers of a deletion marker, by NATS's convention for key-value buckets.
const (
	operationHeader = "KV-Operation"
	operationDelete = "DEL"
)

// Store is an open store. It is safe for concurrent use.
type Store struct {
	conn    *natsgo.Conn
	server  *server.Server // nil if it is outside
	js      jetstream.JetStream
	timeout time.Duration
	buckets map[meta.Bucket]bucket // read only once open

	closing sync.Once
	closed  chan struct{} // ends every watch
	mu      struct {
		sync.Mutex
		closed bool // no watch begins any more
	}
	watches sync.WaitGroup
}

var _ meta.Store = (*Store)(nil)

func newStore(ctx context.Context, conn *natsgo.Conn, srv *server.Server, l layout, timeout time.Duration) (*Store, error) {
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(timeout))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", meta.ErrUnavailable, err)
	}
	buckets, err := openBuckets(ctx, js, l)
	if err != nil {
		return nil, err
	}
	return &Store{conn: conn, server: srv, js: js, timeout: timeout, buckets: buckets, closed: make(chan struct{})}, nil
}

// Get implements [meta.Store].
func (s *Store) Get(ctx context.Context, b meta.Bucket, key string) (meta.Value, error) {
	if err := s.check(ctx, b, key); err != nil {
		return meta.Value{}, err
	}
	msg, err := s.last(ctx, b, key)
	if err != nil {
		return meta.Value{}, err
	}
	if deleted(msg.Header) {
		return meta.Value{}, fmt.Errorf("%w: %s/%s", meta.ErrNotFound, b, key)
	}
	e, err := meta.DecodeEnvelope(msg.Data)
	if err != nil {
		return meta.Value{}, fmt.Errorf("%s/%s: %w", b, key, err)
	}
	return meta.Value{Envelope: e, Revision: msg.Sequence}, nil
}

// Create implements [meta.Store].
func (s *Store) Create(ctx context.Context, b meta.Bucket, key string, e meta.Envelope) (uint64, error) {
	revision, err := s.put(ctx, b, key, e, 0)
	if !errors.Is(err, meta.ErrConflict) {
		return revision, err
	}
	// A deleted key still has its marker, whose sequence is then the expected one. The write before
	// was refused for certain, so there is only one that can take effect.
	msg, getErr := s.last(ctx, b, key)
	if getErr != nil || !deleted(msg.Header) {
		return 0, err
	}
	return s.put(ctx, b, key, e, msg.Sequence)
}

// Update implements [meta.Store].
func (s *Store) Update(ctx context.Context, b meta.Bucket, key string, e meta.Envelope, revision uint64) (uint64, error) {
	if revision == 0 {
		return 0, fmt.Errorf("%w: update of %s/%s at revision 0", meta.ErrConflict, b, key)
	}
	return s.put(ctx, b, key, e, revision)
}

// Delete implements [meta.Store]. It leaves a marker, about as big in memory as any key.
func (s *Store) Delete(ctx context.Context, b meta.Bucket, key string, revision uint64) error {
	if err := s.check(ctx, b, key); err != nil {
		return err
	}
	if revision == 0 {
		return fmt.Errorf("%w: deletion of %s/%s at revision 0", meta.ErrConflict, b, key)
	}
	// The marker itself must not pass for a value that can be deleted again.
	msg, err := s.last(ctx, b, key)
	if errors.Is(err, meta.ErrNotFound) || err == nil && deleted(msg.Header) {
		return fmt.Errorf("%w: %s/%s has no value", meta.ErrConflict, b, key)
	}
	if err != nil {
		return err
	}
	marker := natsgo.NewMsg(subject(b, key))
	marker.Header.Set(operationHeader, operationDelete)
	_, err = s.publish(ctx, b, key, marker, revision)
	return err
}

func (s *Store) put(ctx context.Context, b meta.Bucket, key string, e meta.Envelope, revision uint64) (uint64, error) {
	if err := s.check(ctx, b, key); err != nil {
		return 0, err
	}
	if err := e.Check(); err != nil {
		return 0, fmt.Errorf("%s/%s: %w", b, key, err)
	}
	msg := natsgo.NewMsg(subject(b, key))
	msg.Data = e.AppendTo(nil)
	return s.publish(ctx, b, key, msg, revision)
}

// publish sends one message that is stored only if the newest of its key has this sequence.
func (s *Store) publish(ctx context.Context, b meta.Bucket, key string, msg *natsgo.Msg, revision uint64) (uint64, error) {
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	ack, err := s.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(streamName(b)))
	if err != nil {
		return 0, fmt.Errorf("%w: %s/%s at revision %d: %w", writeOutcome(err), b, key, revision, err)
	}
	return ack.Sequence, nil
}

// last reads the newest message of a key: a value or a deletion marker.
func (s *Store) last(ctx context.Context, b meta.Bucket, key string) (*jetstream.RawStreamMsg, error) {
	msg, err := s.buckets[b].stream.GetLastMsgForSubject(ctx, subject(b, key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: %s/%s", meta.ErrNotFound, b, key)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s/%s: %w", meta.ErrUnavailable, b, key, err)
	}
	return msg, nil
}

// Keys implements [meta.Store].
func (s *Store) Keys(ctx context.Context, b meta.Bucket) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	events, err := s.Watch(ctx, b)
	if err != nil {
		return nil, err
	}
	var keys []string
	for e := range events {
		switch e.Type {
		case meta.EventPut, meta.EventDamaged:
			keys = append(keys, e.Key)
		case meta.EventSynced:
			slices.Sort(keys)
			return slices.Compact(keys), nil
		case meta.EventDelete:
			keys = slices.DeleteFunc(keys, func(k string) bool { return k == e.Key })
		}
	}
	return nil, fmt.Errorf("%w: list of bucket %s ended early", meta.ErrUnavailable, b)
}

// Conn returns the connection below, for soft state that is sent and not stored. It ends with the store.
func (s *Store) Conn() *natsgo.Conn { return s.conn }

// Close implements [meta.Store]. It stops the embedded server.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.mu.closed = true
		s.mu.Unlock()
		close(s.closed)
		s.watches.Wait()
		s.conn.Close()
		if s.server != nil {
			shutdown(s.server)
		}
	})
	return nil
}

func (s *Store) check(ctx context.Context, b meta.Bucket, key string) error {
	if err := meta.CheckKey(b, key); err != nil {
		return err
	}
	return s.checkOpen(ctx)
}

func (s *Store) checkOpen(ctx context.Context) error {
	select {
	case <-s.closed:
		return fmt.Errorf("%w: closed", meta.ErrUnavailable)
	default:
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", meta.ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

func deleted(h natsgo.Header) bool { return h.Get(operationHeader) != "" }
