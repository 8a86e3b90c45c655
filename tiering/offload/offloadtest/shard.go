package offloadtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering/offload"
)

// ErrTrimmed says that local bytes were asked for that have been removed.
var ErrTrimmed = errors.New("trimmed")

// Shard is an [offload.Source] in memory. It outlives the offloaders that seal it, as a disk outlives processes. Its
// methods may be called from many goroutines.
type Shard struct {
	id message.ShardID

	mu struct {
		sync.Mutex
		epoch    message.Epoch
		next     message.Position
		time     int64
		segments []*localSegment // the last one is active
		queues   map[message.Queue][]message.Located
		sealed   offload.Seal
		told     uint64 // the newest sequence of this epoch
		trimmed  []message.Position
		fault    func(op string) error
		created  time.Time
	}
}

type localSegment struct {
	offload.Segment

	log     []byte
	records []offload.Record // without bytes and keys of their own: those alias log and keys
}

// New returns a shard whose first leader has epoch 1, with one empty segment.
func New(id message.ShardID) *Shard {
	s := &Shard{id: id}
	s.mu.epoch, s.mu.time, s.mu.created = 1, 1_700_000_000_000, time.UnixMilli(1_700_000_000_000)
	s.mu.queues = make(map[message.Queue][]message.Located)
	s.rollLocked()
	return s
}

func (s *Shard) rollLocked() {
	if n := len(s.mu.segments); n > 0 {
		last := s.mu.segments[n-1]
		last.End, last.Bytes = s.mu.next, int64(len(last.log))
	}
	s.mu.segments = append(s.mu.segments, &localSegment{Segment: offload.Segment{
		ID: message.SegmentID(len(s.mu.segments) + 1), Base: s.mu.next, Created: s.mu.created,
	}})
}

// Message is what is appended.
type Message struct {
	Queue message.Queue
	Body  []byte
	ID    string   // "" for none
	Keys  []string // without spaces
	Tag   string
	Later int64 // milliseconds since the message before
}

// Append appends a message to the active segment.
func (s *Shard) Append(m Message) message.Located {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.time += m.Later
	var properties []byte
	for _, p := range [][2]string{{message.PropertyMessageID, m.ID}, {message.PropertyKeys, strings.Join(m.Keys, " ")}, {message.PropertyTag, m.Tag}} {
		if p[1] != "" {
			properties, _ = message.AppendProperty(properties, p[0], p[1]) // tests give no separators
		}
	}
	host := netip.MustParseAddrPort("127.0.0.1:1")
	stored := message.Message{
		Topic: "topic", Queue: m.Queue, Offset: message.Offset(len(s.mu.queues[m.Queue])), PhysicalOffset: message.PhysicalOffset(s.id, s.mu.next),
		Body: m.Body, BodyCRC: message.BodyCRC(m.Body), BornTime: s.mu.time, StoreTime: s.mu.time, BornHost: host, StoreHost: host, Properties: properties,
	}
	active := s.mu.segments[len(s.mu.segments)-1]
	start := len(active.log)
	active.log = stored.AppendRecord(active.log, message.RecordMessage)
	size := len(active.log) - start
	r := offload.Record{
		Queue: m.Queue, Offset: stored.Offset, StoreTime: s.mu.time,
		Entry: message.Entry{Position: s.mu.next, Size: uint32(size), TagHash: message.TagHash(m.Tag)},
	}
	if m.ID != "" {
		r.Keys = append(r.Keys, message.IndexKey(m.Queue.Topic, message.IndexByID, m.ID))
	}
	for _, key := range m.Keys {
		r.Keys = append(r.Keys, message.IndexKey(m.Queue.Topic, message.IndexByKey, key))
	}
	active.records = append(active.records, r)
	s.mu.next += message.Position(size)
	located := message.Located{Queue: m.Queue, Offset: stored.Offset, Stored: slices.Clone(active.log[start+message.EnvelopeLen:])}
	s.mu.queues[m.Queue] = append(s.mu.queues[m.Queue], located)
	return located
}

// AppendOther appends a record that is not a message: it takes a part of the log and goes into no object.
func (s *Shard) AppendOther(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	active := s.mu.segments[len(s.mu.segments)-1]
	start := len(active.log)
	active.log = message.Record{Type: message.RecordSettle, Body: make([]byte, n)}.AppendTo(active.log)
	s.mu.next += message.Position(len(active.log) - start)
}

// Roll closes the active segment.
func (s *Shard) Roll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rollLocked()
}

// Restart begins a new epoch, as a new leader does.
func (s *Shard) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.epoch++
	s.mu.told = 0
}

// Fail makes calls fail: fault gets the method's name. Nil ends that.
func (s *Shard) Fail(fault func(op string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.fault = fault
}

// Model returns all messages of a queue so far, by offset. They do not change.
func (s *Shard) Model(q message.Queue) []message.Located {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.mu.queues[q])
	return s.mu.queues[q][:n:n]
}

// Queues returns all queues that have messages.
func (s *Shard) Queues() []message.Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	queues := make([]message.Queue, 0, len(s.mu.queues))
	for q := range s.mu.queues {
		queues = append(queues, q)
	}
	slices.SortFunc(queues, func(a, b message.Queue) int { return strings.Compare(a.String(), b.String()) })
	return queues
}

// LastSeal returns the newest seal that the shard was ever told.
func (s *Shard) LastSeal() offload.Seal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.sealed
}

// Trimmed returns the bases of the segments that were removed, in order.
func (s *Shard) Trimmed() []message.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.trimmed)
}

// FirstLocal returns the first offset of a queue whose bytes are still here; the queue's end if none is.
func (s *Shard) FirstLocal(q message.Queue) message.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seg := range s.mu.segments {
		for _, r := range seg.records {
			if r.Queue == q {
				return r.Offset
			}
		}
	}
	return message.Offset(len(s.mu.queues[q]))
}

// Full returns the local segments that are not active.
func (s *Shard) Full() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.segments) - 1
}

func (s *Shard) failsLocked(op string) error {
	if s.mu.fault == nil {
		return nil
	}
	return s.mu.fault(op)
}

// Shard implements [offload.Source].
func (s *Shard) Shard() message.ShardID { return s.id }

// Epoch implements [offload.Source].
func (s *Shard) Epoch() message.Epoch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.epoch
}

// Sealable implements [offload.Source].
func (s *Shard) Sealable(context.Context) ([]offload.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failsLocked("sealable"); err != nil {
		return nil, err
	}
	var full []offload.Segment
	for _, seg := range s.mu.segments[:len(s.mu.segments)-1] {
		full = append(full, seg.Segment)
	}
	return full, nil
}

// Records implements [offload.Source].
func (s *Shard) Records(_ context.Context, base message.Position) iter.Seq2[offload.Record, error] {
	return func(yield func(offload.Record, error) bool) {
		seg, err := s.segment("records", base)
		if err != nil {
			yield(offload.Record{}, err)
			return
		}
		for _, r := range seg.records {
			start := r.Entry.Position - seg.Base
			r.Bytes = seg.log[start : start+message.Position(r.Entry.Size)]
			if !yield(r, nil) {
				return
			}
		}
	}
}

// segment finds a full segment by a position in it.
func (s *Shard) segment(op string, at message.Position) (*localSegment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failsLocked(op); err != nil {
		return nil, err
	}
	for _, seg := range s.mu.segments[:len(s.mu.segments)-1] {
		if at >= seg.Base && at < seg.End || at == seg.Base {
			return seg, nil
		}
	}
	return nil, fmt.Errorf("position %s: %w", at, ErrTrimmed)
}

// ReadAt implements [offload.Source].
func (s *Shard) ReadAt(_ context.Context, dst []byte, at message.Position) error {
	seg, err := s.segment("read", at)
	if err != nil {
		return err
	}
	if n := copy(dst, seg.log[at-seg.Base:]); n < len(dst) {
		return fmt.Errorf("read %d bytes at %s: the segment ends", len(dst), at)
	}
	return nil
}

// Snapshot implements [offload.Source].
func (s *Shard) Snapshot(context.Context, message.Position) (offload.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failsLocked("snapshot"); err != nil {
		return offload.Snapshot{}, err
	}
	return offload.Snapshot{ReplayStart: s.mu.next, Bytes: fmt.Appendf(nil, "snapshot up to %s", s.mu.next)}, nil
}

// Sealed implements [offload.Source].
func (s *Shard) Sealed(_ context.Context, seal offload.Seal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failsLocked("sealed"); err != nil {
		return err
	}
	if seal.Sequence < s.mu.told {
		return fmt.Errorf("seal %d after %d", seal.Sequence, s.mu.told)
	}
	s.mu.told = seal.Sequence
	if seal.Sequence > s.mu.sealed.Sequence {
		s.mu.sealed = seal
	}
	return nil
}

// Trim implements [offload.Source].
func (s *Shard) Trim(_ context.Context, base message.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.failsLocked("trim"); err != nil {
		return err
	}
	switch oldest := s.mu.segments[0]; {
	case oldest.Base > base:
		return nil
	case oldest.Base < base || len(s.mu.segments) == 1:
		return fmt.Errorf("segment %s is not the oldest full one", base)
	}
	s.mu.segments = s.mu.segments[1:]
	s.mu.trimmed = append(s.mu.trimmed, base)
	return nil
}

// FillOptions say what [Shard.Fill] appends.
type FillOptions struct {
	Messages int
	Queues   []message.Queue
	MaxBody  int // bytes
	Keys     int // how many different keys there are; 0: messages have none
}

// Fill appends random messages.
func (s *Shard) Fill(random *rand.Rand, o FillOptions) {
	for range o.Messages {
		q := o.Queues[random.IntN(len(o.Queues))]
		m := Message{Queue: q, Body: body(random, 1+random.IntN(o.MaxBody)), Later: int64(random.IntN(4)), Tag: fmt.Sprintf("tag%d", random.IntN(3))}
		m.ID = fmt.Sprintf("%016X%016X", random.Uint64(), random.Uint64())
		if o.Keys > 0 {
			m.Keys = []string{fmt.Sprintf("key-%d", random.IntN(o.Keys))}
		}
		s.Append(m)
		if random.IntN(8) == 0 {
			s.AppendOther(random.IntN(100))
		}
	}
}

var words = []string{`{"order":`, `"amount":`, `,"customer":`, `"name":"订单"`, "1234", "8090", "}", `,"ok":true`}

// body returns text that compresses about as well as JSON does.
func body(random *rand.Rand, n int) []byte {
	b := make([]byte, 0, n+16)
	for len(b) < n {
		b = append(b, words[random.IntN(len(words))]...)
		b = fmt.Appendf(b, "%d", random.IntN(1000))
	}
	return b[:n]
}
