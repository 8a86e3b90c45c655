package shard

import (
	"fmt"
	"strings"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/storelayer/commitlog"
	"github.com/stratamq/stratamq/storelayer/group"
)

// apply takes a frame that the watermark has passed. It runs on one goroutine, in log order.
//
// A record that does not apply is a bug or damage that no checksum saw. The shard must not go on from a
// state that its log does not say, so it panics; a restart tells whether the log or the state was wrong.
func (s *Shard) apply(f commitlog.Frame) {
	if err := s.applyFrame(f, true); err != nil {
		panic(fmt.Sprintf("shard %s: frame at %s does not apply: %v", s.id, f.Position, err))
	}
	for topic, n := range s.applying.touched {
		s.waiters.arrived(topic, n)
		delete(s.applying.touched, topic)
	}
}

// applyFrame applies the records of a frame: messages to the consumeQueue, changes to whom they belong.
// Recovery leaves out changes that the snapshot has.
func (s *Shard) applyFrame(f commitlog.Frame, changes bool) error {
	mark := &frameMark{position: f.Position, end: f.End, epoch: f.Epoch, crc: f.CRC}
	s.seen.Store(mark)
	rolled := f.Segment != s.applying.segment
	if rolled {
		if err := s.table.Roll(f.Segment); err != nil {
			return err
		}
		s.applying.segment = f.Segment
		s.activeMessages.Store(0)
	}
	err := f.All(func(at message.Position, r message.Record, size int) error {
		switch {
		case r.Type == message.RecordMessage:
			return s.applyMessage(at, r, size)
		case changes:
			return s.applyChange(at, r)
		default:
			return nil
		}
	})
	if err != nil {
		return err
	}
	s.applied.Store(mark)
	if rolled {
		select {
		case s.rolled <- struct{}{}:
		default: // one is wanted already
		}
	}
	return nil
}

// applyMessage publishes a message: from here on consumers see it.
func (s *Shard) applyMessage(at message.Position, r message.Record, size int) error {
	m, err := message.DecodeStored(r.Body)
	if err != nil {
		return err
	}
	q := message.Queue{Topic: r.Topic, ID: m.Queue.ID}
	entry, hashes := describe(s.applying.hashes[:0], at, size, q, &m)
	s.applying.hashes = hashes
	if err := s.table.Append(q, m.Offset, entry, m.StoreTime, hashes); err != nil {
		return err
	}
	s.applying.touched[r.Topic]++
	s.activeMessages.Add(1)
	return nil
}

// describe makes the consumeQueue entry of a message and appends its index keys to hashes.
func describe(hashes []uint64, at message.Position, size int, q message.Queue, m *message.Message) (message.Entry, []uint64) {
	entry := message.Entry{Position: at, Size: uint32(size)}
	for key, value := range message.EachProperty(m.Properties) {
		switch string(key) {
		case message.PropertyTag:
			entry.TagHash = message.TagHash(string(value))
		case message.PropertyMessageGroup:
			entry.OrderKey = message.OrderKey(string(value))
		case message.PropertyMessageID:
			hashes = append(hashes, message.IndexKey(q.Topic, message.IndexByID, string(value)))
		case message.PropertyKeys:
			for k := range strings.FieldsSeq(string(value)) {
				hashes = append(hashes, message.IndexKey(q.Topic, message.IndexByKey, k))
			}
		}
	}
	return entry, hashes
}

// applyChange applies a state change to whom it belongs.
func (s *Shard) applyChange(at message.Position, r message.Record) error {
	switch r.Type {
	case message.RecordLease, message.RecordSettle, message.RecordVisibility, message.RecordCommit, message.RecordDeadLetter:
		if err := s.noteLease(r); err != nil {
			return err
		}
		name, generation, err := group.Header(r)
		if err != nil {
			return err
		}
		p := s.progressOf(group.Key{Name: string(name), Generation: generation})
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.mu.Apply(r, at)
	case message.RecordGroupDelete:
		d, err := group.DecodeGroup(r)
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.groups, d.Key)
		return nil
	case message.RecordTopicDelete:
		return s.applyTopicDelete(at, r)
	case message.RecordEpochStart:
		_, err := group.DecodeEpochStart(r)
		return err
	case message.RecordGroupCreate:
		_, err := group.DecodeGroup(r)
		return err
	default:
		return fmt.Errorf("%w: this version does not know records of type %s", message.ErrCorrupt, r.Type)
	}
}

// noteLease keeps the highest lease number of the epoch that is being recovered, for the epoch-start record.
func (s *Shard) noteLease(r message.Record) error {
	if s.epoch != 0 || r.Type != message.RecordLease {
		return nil
	}
	l, err := group.DecodeLease(r)
	if err != nil {
		return err
	}
	if l.Epoch != s.applying.leaseEpoch {
		s.applying.leaseEpoch, s.applying.lastLease = l.Epoch, 0
	}
	s.applying.lastLease = max(s.applying.lastLease, l.Lease)
	return nil
}

// applyTopicDelete ends a topic id on this shard.
func (s *Shard) applyTopicDelete(at message.Position, r message.Record) error {
	if _, err := group.DecodeTopicDelete(r); err != nil {
		return err
	}
	s.mu.Lock()
	s.mu.deleted[r.Topic] = struct{}{}
	all := make([]*progress, 0, len(s.mu.groups))
	for _, p := range s.mu.groups {
		all = append(all, p)
	}
	s.mu.Unlock()
	s.table.DropTopic(r.Topic, at)
	for _, p := range all {
		p.mu.Lock()
		err := p.mu.Apply(r, at)
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	s.waiters.forget(r.Topic)
	return nil
}

// knownProgress returns a group's progress, or nil. Whoever only asks, or holds a handle, does not make a group.
func (s *Shard) knownProgress(key group.Key) *progress {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.groups[key]
}

// progressOf returns a group's progress; one that is not known yet begins empty.
func (s *Shard) progressOf(key group.Key) *progress {
	if p := s.knownProgress(key); p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.groups[key]
	if p == nil {
		p = newProgress(group.New(key))
		s.mu.groups[key] = p
	}
	return p
}

func newProgress(g *group.Group) *progress {
	p := &progress{key: g.Key()}
	p.mu.Group = g
	return p
}
