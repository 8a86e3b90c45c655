package grpcapi

import (
	"errors"
	"io"
	"strconv"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// pullFrames is a pull as a client sees it.
type pullFrames struct {
	status   *pb.Status
	messages []*pb.Message
	next     int64
	hasNext  bool
}

func readPull(stream grpc.ServerStreamingClient[pb.PullMessageResponse]) (pullFrames, error) {
	var out pullFrames
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		switch c := frame.GetContent().(type) {
		case *pb.PullMessageResponse_Status:
			if out.status != nil {
				return out, errors.New("two statuses")
			}
			out.status = c.Status
		case *pb.PullMessageResponse_Message:
			out.messages = append(out.messages, c.Message)
		case *pb.PullMessageResponse_NextOffset:
			if out.hasNext {
				return out, errors.New("two next offsets")
			}
			out.next, out.hasNext = c.NextOffset, true
		default:
			return out, errors.New("frame without content")
		}
	}
}

func (r *rig) pull(req *pb.PullMessageRequest) pullFrames {
	r.t.Helper()
	stream, err := r.client.PullMessage(r.as("consumer"), req)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := readPull(stream)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// single makes a topic of one queue and sends n messages to it, tags a and b in turn.
func (r *rig) single(n int) *pb.MessageQueue {
	r.t.Helper()
	r.directory.Put(meta.Topic{Name: "single", Queues: 1, Shards: r.oneShard(), Type: meta.TypeNormal, Ack: meta.AckDurable})
	for i := range n {
		m := plainMessage(strconv.Itoa(i), "body "+strconv.Itoa(i))
		m.Topic, m.SystemProperties.Tag = topicResource("single"), new([]string{"a", "b"}[i%2])
		r.mustSend(m)
	}
	return &pb.MessageQueue{Topic: topicResource("single")}
}

// singleQueue is the queue that single fills.
func (r *rig) singleQueue() message.Queue {
	topic, err := r.directory.TopicByName(r.t.Context(), "single")
	if err != nil {
		r.t.Fatal(err)
	}
	return message.Queue{Topic: topic.ID}
}

func TestPullMessage(t *testing.T) {
	r := newRig(t, rigOptions{})
	queue := r.single(10)
	r.shard.Trim(r.singleQueue(), 6) // 0 … 5 are in the bucket only
	r.shard.Expire(r.singleQueue(), 1)
	pull := func(offset int64, expression string) pullFrames {
		return r.pull(&pb.PullMessageRequest{
			Group: groupResource(), MessageQueue: queue, Offset: offset, BatchSize: 3,
			FilterExpression: &pb.FilterExpression{Expression: expression}, LongPollingTimeout: durationpb.New(0),
		})
	}
	for name, c := range map[string]struct {
		offset int64
		filter string
		code   pb.Code
		bodies string
		next   int64
	}{
		"cold":              {1, "*", pb.Code_OK, "1 2 3 ", 4},
		"up to the seam":    {4, "*", pb.Code_OK, "4 5 ", 6},
		"hot":               {6, "*", pb.Code_OK, "6 7 8 ", 9},
		"the last":          {9, "*", pb.Code_OK, "9 ", 10},
		"cold, filtered":    {1, "b", pb.Code_OK, "1 3 ", 4},
		"hot, filtered":     {6, "b", pb.Code_OK, "7 ", 9},
		"none matches":      {6, "c", pb.Code_MESSAGE_NOT_FOUND, "", 10},
		"none, over a seam": {1, "c", pb.Code_MESSAGE_NOT_FOUND, "", 10},
		"at the end":        {10, "*", pb.Code_MESSAGE_NOT_FOUND, "", 10},
		"before the first":  {0, "*", pb.Code_ILLEGAL_OFFSET, "", 1},
		"negative":          {-5, "*", pb.Code_ILLEGAL_OFFSET, "", 1},
		"beyond the end":    {11, "*", pb.Code_ILLEGAL_OFFSET, "", 10},
	} {
		t.Run(name, func(t *testing.T) {
			got, bodies := pull(c.offset, c.filter), ""
			for _, m := range got.messages {
				bodies += string(m.GetBody()[len("body "):]) + " "
				if p := m.GetSystemProperties(); p.ReceiptHandle != nil || p.GetDeliveryAttempt() != 1 || p.GetBodyDigest().GetType() != pb.DigestType_SHA1 {
					t.Errorf("properties %v", p)
				}
			}
			if got.status.GetCode() != c.code || bodies != c.bodies || got.next != c.next || !got.hasNext {
				t.Errorf("%v, %q, next %d", got.status, bodies, got.next)
			}
		})
	}
}

func TestPullWithoutSuchAQueue(t *testing.T) {
	r := newRig(t, rigOptions{})
	got := r.pull(&pb.PullMessageRequest{Group: groupResource(), MessageQueue: &pb.MessageQueue{Topic: topicResource(testTopic), Id: 2}})
	if got.status.GetCode() != pb.Code_BAD_REQUEST || got.status.GetMessage() != "the topic has no queue of this id" || got.hasNext {
		t.Errorf("%+v", got)
	}
}

func TestOffsets(t *testing.T) {
	r := newRig(t, rigOptions{})
	queue := r.single(4)
	get := func() *pb.GetOffsetResponse {
		resp, err := r.client.GetOffset(r.as("consumer"), &pb.GetOffsetRequest{Group: groupResource(), MessageQueue: queue})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if got := get(); got.GetStatus().GetCode() != pb.Code_OFFSET_NOT_FOUND {
		t.Errorf("before a commit: %v", got)
	}
	for _, offset := range []int64{3, 2} { // it never goes back
		resp, err := r.client.UpdateOffset(r.as("consumer"), &pb.UpdateOffsetRequest{Group: groupResource(), MessageQueue: queue, Offset: offset})
		if err != nil || resp.GetStatus().GetCode() != pb.Code_OK {
			t.Fatalf("commit: %v %v", resp, err)
		}
		if got := get(); got.GetOffset() != 3 {
			t.Errorf("after a commit of %d: %v", offset, got)
		}
	}
	r.shard.Trim(r.singleQueue(), 2)
	r.shard.Expire(r.singleQueue(), 1)
	query := func(policy pb.QueryOffsetPolicy, at *timestamppb.Timestamp) *pb.QueryOffsetResponse {
		resp, err := r.client.QueryOffset(r.as("consumer"), &pb.QueryOffsetRequest{MessageQueue: queue, QueryOffsetPolicy: policy, Timestamp: at})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for name, c := range map[string]struct {
		policy pb.QueryOffsetPolicy
		at     *timestamppb.Timestamp
		code   pb.Code
		offset int64
	}{
		"beginning":             {pb.QueryOffsetPolicy_BEGINNING, nil, pb.Code_OK, 1},
		"end":                   {pb.QueryOffsetPolicy_END, nil, pb.Code_OK, 4},
		"long ago, in the cold": {pb.QueryOffsetPolicy_TIMESTAMP, timestamppb.New(time.Unix(1, 0)), pb.Code_OK, 1},
		"in the future":         {pb.QueryOffsetPolicy_TIMESTAMP, timestamppb.New(time.Now().Add(time.Hour)), pb.Code_OK, 4},
		"without a time":        {pb.QueryOffsetPolicy_TIMESTAMP, nil, pb.Code_BAD_REQUEST, 0},
		"unheard of":            {9, nil, pb.Code_BAD_REQUEST, 0},
	} {
		if got := query(c.policy, c.at); got.GetStatus().GetCode() != c.code || got.GetOffset() != c.offset {
			t.Errorf("%s: %v", name, got)
		}
	}
	resp, err := r.client.UpdateOffset(r.as("consumer"), &pb.UpdateOffsetRequest{Group: groupResource(), MessageQueue: queue, Offset: -1})
	if err != nil || resp.GetStatus().GetCode() != pb.Code_ILLEGAL_OFFSET {
		t.Errorf("negative: %v %v", resp, err)
	}
}
