package group

import (
	"maps"

	"github.com/stratamq/stratamq/message"
)

type model struct{ queues map[message.Queue]*modelQueue }

type modelQueue struct {
	started bool
	begin   message.Offset
	settled map[message.Offset]bool
	leases  map[message.Offset]modelLease
}

type modelLease struct {
	epoch           message.Epoch
	lease           uint64
	deadline        int64
	attempt         uint16
	auto, uncounted bool
}

func newModel() *model { return &model{queues: map[message.Queue]*modelQueue{}} }

func (m *model) clone() *model {
	c := newModel()
	for q, mq := range m.queues {
		c.queues[q] = &modelQueue{started: mq.started, begin: mq.begin, settled: maps.Clone(mq.settled), leases: maps.Clone(mq.leases)}
	}
	return c
}

func (m *model) queue(q message.Queue) *modelQueue {
	if m.queues[q] == nil {
		m.queues[q] = &modelQueue{settled: map[message.Offset]bool{}, leases: map[message.Offset]modelLease{}}
	}
	return m.queues[q]
}

func (m *model) settled(q message.Queue, o message.Offset) bool {
	mq := m.queue(q)
	return mq.started && o < mq.begin || mq.settled[o]
}

func (m *model) floor(q message.Queue) message.Offset {
	o := m.queue(q).begin
	for m.settled(q, o) {
		o++
	}
	return o
}

func (m *model) settle(mq *modelQueue, o message.Offset) {
	mq.settled[o] = true
	delete(mq.leases, o)
}

func (m *model) apply(rec message.Record) {
	switch rec.Type {
	case message.RecordLease:
		r, _ := DecodeLease(rec)
		mq := m.queue(r.Queue)
		for _, run := range r.Runs {
			for i := range run.Count {
				o := run.First + message.Offset(i)
				if !m.settled(r.Queue, o) {
					mq.leases[o] = modelLease{epoch: r.Epoch, lease: r.Lease, deadline: r.Deadline, attempt: run.Attempt, auto: r.Auto}
				}
			}
		}
	case message.RecordSettle:
		r, _ := DecodeSettle(rec)
		for _, run := range r.Runs {
			for o := run.First; o < run.End; o++ {
				m.settle(m.queue(r.Queue), o)
			}
		}
	case message.RecordVisibility:
		r, _ := DecodeVisibility(rec)
		mq := m.queue(r.Queue)
		for _, it := range r.Items {
			if m.settled(r.Queue, it.Offset) {
				continue
			}
			l, ok := mq.leases[it.Offset]
			switch {
			case !ok, before(l.epoch, l.lease, it.Epoch, it.Lease):
				mq.leases[it.Offset] = modelLease{epoch: it.Epoch, lease: it.Lease, deadline: it.Deadline, attempt: it.Attempt, uncounted: it.Uncounted}
			case l.epoch == it.Epoch && l.lease == it.Lease:
				l.deadline, l.auto, l.uncounted = it.Deadline, false, it.Uncounted
				mq.leases[it.Offset] = l
			}
		}
	case message.RecordDeadLetter:
		r, _ := DecodeDeadLetter(rec)
		m.settle(m.queue(r.Queue), r.Offset)
	case message.RecordCommit:
		r, _ := DecodeCommit(rec)
		mq := m.queue(r.Queue)
		switch {
		case r.Kind == CommitReset:
			*mq = modelQueue{started: true, begin: r.Offset, settled: map[message.Offset]bool{}, leases: map[message.Offset]modelLease{}}
		case !mq.started:
			mq.started, mq.begin = true, r.Offset
			for o := range mq.leases {
				if o < r.Offset {
					delete(mq.leases, o)
				}
			}
		case r.Kind == CommitSet:
			for o := mq.begin; o < r.Offset; o++ {
				m.settle(mq, o)
			}
		}
	default:
		panic("no record of a group's progress: " + rec.Type.String())
	}
}
