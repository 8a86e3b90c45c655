package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
)

// reader reads a past in one way, again and again, and compares.
type reader struct {
	*pastSent

	rng   *rand.Rand
	tally *tally
}

// queue picks a queue that has messages.
func (r *reader) queue() (*pastQueue, []*sent) {
	for {
		q := r.queues[r.rng.IntN(len(r.queues))]
		if recorded := q.recorded(); len(recorded) > 0 {
			return q, recorded
		}
	}
}

// offset picks an offset: mostly shortly before one of the seams, where it is hard to be right.
func (r *reader) offset(recorded []*sent) int {
	at := r.rng.IntN(len(recorded))
	seams := r.rig.seams()
	before := func(position message.Position) int {
		i, _ := slices.BinarySearchFunc(recorded, position, func(m *sent, p message.Position) int {
			if m.position < p {
				return -1
			}
			return 1
		})
		return i - r.rng.IntN(12)
	}
	switch r.rng.IntN(8) {
	case 0, 1, 2, 3:
		at = before(seams.local)
	case 4, 5, 6:
		at = before(seams.active)
	}
	return min(max(at, 0), len(recorded)-1)
}

// pull reads from some offset on, in batches, and perhaps again.
func (r *reader) pull(ctx context.Context) error {
	q, recorded := r.queue()
	from := r.offset(recorded)
	want := min(1+r.rng.IntN(32), len(recorded)-from)
	for range 1 + r.rng.IntN(2) {
		before := r.rig.seams()
		got, err := r.readOn(ctx, q, from, want, int32(1+r.rng.IntN(32)))
		if err != nil {
			return err
		}
		r.tally.note(r.pastSent, "pull", before, got)
	}
	return nil
}

// readOn pulls want messages from an offset on, one batch after the other.
func (r *reader) readOn(ctx context.Context, q *pastQueue, from, want int, batch int32) ([]*sent, error) {
	var all []*sent
	for len(all) < want {
		at := from + len(all)
		got, next, err := r.pullOnce(ctx, q, at, batch, "*")
		if err != nil {
			return nil, err
		}
		if len(got) == 0 || len(got) > int(batch) {
			return nil, fmt.Errorf("pull of queue %d of %s at %d: %d messages of %d", q.id, q.topic, at, len(got), batch)
		}
		for i, m := range got {
			if int(m.at.Load().offset) != at+i {
				return nil, fmt.Errorf("pull of queue %d of %s at %d: message %d is offset %d", q.id, q.topic, at, i, m.at.Load().offset)
			}
		}
		if next != at+len(got) {
			return nil, fmt.Errorf("pull of queue %d of %s at %d: %d messages, next offset %d", q.id, q.topic, at, len(got), next)
		}
		all = append(all, got...)
	}
	return all, nil
}

// pullOnce makes one pull; what it got is checked, and where the next one goes on.
func (r *reader) pullOnce(ctx context.Context, q *pastQueue, from int, batch int32, tags string) ([]*sent, int, error) {
	stream, err := r.rig.client.PullMessage(as(ctx, "puller"), &pb.PullMessageRequest{
		Group: &pb.Resource{Name: "pullers"}, MessageQueue: &pb.MessageQueue{Topic: &pb.Resource{Name: q.topic}, Id: int32(q.id)},
		Offset: int64(from), BatchSize: batch, LongPollingTimeout: durationpb.New(0),
		FilterExpression: &pb.FilterExpression{Type: pb.FilterType_TAG, Expression: tags},
	})
	if err != nil {
		return nil, 0, err
	}
	var got []*sent
	next := -1
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return got, next, nil
		}
		if err != nil {
			return nil, 0, err
		}
		switch content := frame.GetContent().(type) {
		case *pb.PullMessageResponse_Status:
			if c := content.Status.GetCode(); c != pb.Code_OK && c != pb.Code_MESSAGE_NOT_FOUND {
				return nil, 0, fmt.Errorf("pull of queue %d of %s at %d: %v", q.id, q.topic, from, content.Status)
			}
		case *pb.PullMessageResponse_Message:
			s := ofWire(content.Message)
			if s.topic != q.topic || s.queue != q.id {
				return nil, 0, fmt.Errorf("pull of queue %d of %s: message of queue %d of %s", q.id, q.topic, s.queue, s.topic)
			}
			m, err := r.check(s)
			if err != nil {
				return nil, 0, fmt.Errorf("pull: %w", err)
			}
			got = append(got, m)
		case *pb.PullMessageResponse_NextOffset:
			next = int(content.NextOffset)
		}
	}
}

// pullTagged reads what has a tag from some offset on: exactly those up to where the next pull goes on.
func (r *reader) pullTagged(ctx context.Context) error {
	q, recorded := r.queue()
	from := r.offset(recorded)
	before := r.rig.seams()
	got, next, err := r.pullOnce(ctx, q, from, int32(1+r.rng.IntN(32)), "a")
	if err != nil {
		return err
	}
	var want []*sent
	for _, m := range recorded[from:min(max(next, from), len(recorded))] {
		if m.tag == "a" {
			want = append(want, m)
		}
	}
	if next <= from || !slices.Equal(got[:min(len(want), len(got))], want) || next <= len(recorded) && len(got) != len(want) {
		return fmt.Errorf("pull of tag a of queue %d of %s: %d messages in [%d, %d), want %d", q.id, q.topic, len(got), from, next, len(want))
	}
	r.tally.note(r.pastSent, "pull by tag", before, recorded[from:min(next, len(recorded))])
	return nil
}

// scan reads a whole queue from its beginning on; each pull and the message before it are one read.
func (r *reader) scan(ctx context.Context) error {
	q, recorded := r.queue()
	batch := int32(8 + r.rng.IntN(25))
	var last []*sent
	for at := 0; at < len(recorded) && ctx.Err() == nil; {
		before := r.rig.seams()
		got, err := r.readOn(ctx, q, at, 1, batch)
		if err != nil {
			return fmt.Errorf("scan: %w", err)
		}
		r.tally.note(r.pastSent, "scan", before, append(last, got...))
		at += len(got)
		last = got[len(got)-1:]
	}
	return nil
}

// offsetAt looks for a time near a seam.
func (r *reader) offsetAt(ctx context.Context) error {
	q, recorded := r.queue()
	at := r.offset(recorded)
	t := recorded[at].storeTime + int64(r.rng.IntN(3)-1)
	before := r.rig.seams()
	res, err := r.rig.client.QueryOffset(as(ctx, "asker"), &pb.QueryOffsetRequest{
		MessageQueue:      &pb.MessageQueue{Topic: &pb.Resource{Name: q.topic}, Id: int32(q.id)},
		QueryOffsetPolicy: pb.QueryOffsetPolicy_TIMESTAMP, Timestamp: timestamppb.New(time.UnixMilli(t)),
	})
	if err != nil || res.GetStatus().GetCode() != pb.Code_OK {
		return fmt.Errorf("offset of queue %d of %s at %d: %v, %w", q.id, q.topic, t, res.GetStatus(), err)
	}
	want := firstAt(recorded, t)
	if got := int(res.GetOffset()); got != want && (want < len(recorded) || got < want) {
		return fmt.Errorf("offset of queue %d of %s at %d is %d, want %d of %d; seams at %+v, now %+v", q.id, q.topic, t, got, want, len(recorded), before, r.rig.seams())
	}
	r.tally.note(r.pastSent, "offset by time", before, recorded[max(want-1, 0):min(want+1, len(recorded))])
	return nil
}

// query runs a message query and returns what was found, checked, with nothing twice.
func (r *reader) query(ctx context.Context, req *adminv1.QueryMessagesRequest) ([]*sent, error) {
	req.Limit = 10_000
	stream, err := r.rig.tool.QueryMessages(ctx, req)
	if err != nil {
		return nil, err
	}
	var found []*sent
	once := map[*sent]bool{}
	for stream.Receive() {
		if stream.Msg().GetTruncated() {
			return nil, fmt.Errorf("query %v was cut off", req)
		}
		for _, shown := range stream.Msg().GetMessages() {
			m, err := r.check(ofTool(shown))
			if err != nil {
				return nil, fmt.Errorf("query %v: %w", req, err)
			}
			if once[m] {
				return nil, fmt.Errorf("query %v found %s twice", req, m.id)
			}
			once[m] = true
			found = append(found, m)
		}
	}
	return found, errors.Join(stream.Err(), stream.Close())
}

// byID asks for one message.
func (r *reader) byID(ctx context.Context) error {
	q, recorded := r.queue()
	m := recorded[r.offset(recorded)]
	before := r.rig.seams()
	found, err := r.query(ctx, &adminv1.QueryMessagesRequest{Topic: q.topic, By: &adminv1.QueryMessagesRequest_MessageId{MessageId: m.id}})
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0] != m {
		return fmt.Errorf("query for id %s found %d messages", m.id, len(found))
	}
	r.tally.note(r.pastSent, "query by id", before, found)
	return nil
}

// byKey asks for all messages with a key. What was recorded before must be there, and newer ones may be.
func (r *reader) byKey(ctx context.Context) error {
	q, _ := r.queue()
	key := fmt.Sprintf("k%d", r.rng.IntN(pastKeys))
	want := map[*sent]bool{}
	for _, m := range r.recordedOf(q.topic) {
		if slices.Contains(m.keys, key) {
			want[m] = true
		}
	}
	before := r.rig.seams()
	found, err := r.query(ctx, &adminv1.QueryMessagesRequest{Topic: q.topic, By: &adminv1.QueryMessagesRequest_Key{Key: key}})
	if err != nil {
		return err
	}
	for _, m := range found {
		if !slices.Contains(m.keys, key) {
			return fmt.Errorf("query for key %s found %s with %q", key, m.id, m.keys)
		}
		delete(want, m)
	}
	for m := range want {
		return fmt.Errorf("query for key %s of %s found %d messages and misses %d, among them %s", key, q.topic, len(found), len(want), m.id)
	}
	r.tally.note(r.pastSent, "query by key", before, found)
	return nil
}

// byTime asks for what was stored in a span of time that begins near a seam.
func (r *reader) byTime(ctx context.Context) error {
	q, recorded := r.queue()
	at := r.offset(recorded)
	start := recorded[at].storeTime
	end := recorded[min(at+r.rng.IntN(32), len(recorded)-1)].storeTime + int64(r.rng.IntN(2))
	want := map[*sent]bool{}
	for _, of := range r.queuesOf(q.topic) {
		all := of.recorded()
		for _, m := range all[firstAt(all, start):firstAt(all, end)] {
			want[m] = true
		}
	}
	before := r.rig.seams()
	found, err := r.query(ctx, &adminv1.QueryMessagesRequest{Topic: q.topic, By: &adminv1.QueryMessagesRequest_Time{
		Time: &adminv1.TimeRange{Start: timestamppb.New(time.UnixMilli(start)), End: timestamppb.New(time.UnixMilli(end))},
	}})
	if err != nil {
		return err
	}
	for _, m := range found {
		if r.isRecorded(m) && (m.storeTime < start || m.storeTime >= end) {
			return fmt.Errorf("query for [%d, %d) found %s of %d", start, end, m.id, m.storeTime)
		}
		delete(want, m)
	}
	for m := range want {
		return fmt.Errorf("query for [%d, %d) of %s found %d messages and misses %d, among them %s", start, end, q.topic, len(found), len(want), m.id)
	}
	r.tally.note(r.pastSent, "query by time", before, found)
	return nil
}
