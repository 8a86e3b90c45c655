package grpcapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
)

func (r *rig) oneShard() []message.ShardID { return []message.ShardID{r.shard.ID()} }

// everyCall makes each unary call and receive once, in a valid form, and returns the Status in each answer.
func (r *rig) everyCall(ctx context.Context) map[string]*pb.Status {
	out := map[string]*pb.Status{}
	for rpc, call := range r.calls(groupResource()) {
		status, err := call(ctx)
		if err != nil {
			r.t.Fatalf("%s: a gRPC error: %v", rpc, err)
		}
		out[rpc] = status
	}
	return out
}

// everyGroupCall makes each call that names a group.
func (r *rig) everyGroupCall(group *pb.Resource) map[string]*pb.Status {
	out := map[string]*pb.Status{}
	for rpc, call := range r.calls(group) {
		switch rpc {
		case "SendMessage", "QueryRoute", "QueryOffset", "NotifyClientTermination", "EndTransaction", "RecallMessage", "SyncLiteSubscription":
			continue
		}
		status, err := call(r.as("consumer"))
		if err != nil {
			r.t.Fatalf("%s: a gRPC error: %v", rpc, err)
		}
		out[rpc] = status
	}
	return out
}

type call func(context.Context) (*pb.Status, error)

// calls returns one call of each RPC.
func (r *rig) calls(group *pb.Resource) map[string]call {
	c, topic := r.client, topicResource(testTopic)
	queue := &pb.MessageQueue{Topic: topic}
	endpoints := &pb.Endpoints{Scheme: pb.AddressScheme_IPv4, Addresses: []*pb.Address{{Host: "127.0.0.1", Port: 8081}}}
	return map[string]call{
		"QueryRoute": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.QueryRoute(ctx, &pb.QueryRouteRequest{Topic: topic, Endpoints: endpoints})
			return resp.GetStatus(), err
		},
		"Heartbeat": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.Heartbeat(ctx, &pb.HeartbeatRequest{ClientType: pb.ClientType_PUSH_CONSUMER, Group: group})
			return resp.GetStatus(), err
		},
		"SendMessage": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.SendMessage(ctx, &pb.SendMessageRequest{Messages: []*pb.Message{plainMessage("1", "a")}})
			return resp.GetStatus(), err
		},
		"QueryAssignment": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.QueryAssignment(ctx, &pb.QueryAssignmentRequest{Topic: topic, Group: group, Endpoints: endpoints})
			return resp.GetStatus(), err
		},
		"ReceiveMessage": func(ctx context.Context) (*pb.Status, error) {
			req := receiveRequest(1)
			req.Group = group
			stream, err := c.ReceiveMessage(ctx, req)
			if err != nil {
				return nil, err
			}
			got, err := readReceive(stream)
			return got.status, err
		},
		"AckMessage": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.AckMessage(ctx, &pb.AckMessageRequest{Topic: topic, Group: group, Entries: []*pb.AckMessageEntry{{ReceiptHandle: "x"}}})
			return resp.GetStatus(), err
		},
		"ForwardMessageToDeadLetterQueue": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.ForwardMessageToDeadLetterQueue(ctx, &pb.ForwardMessageToDeadLetterQueueRequest{Topic: topic, Group: group, ReceiptHandle: "x"})
			return resp.GetStatus(), err
		},
		"PullMessage": func(ctx context.Context) (*pb.Status, error) {
			stream, err := c.PullMessage(ctx, &pb.PullMessageRequest{Group: group, MessageQueue: queue, LongPollingTimeout: durationpb.New(0)})
			if err != nil {
				return nil, err
			}
			got, err := readPull(stream)
			return got.status, err
		},
		"UpdateOffset": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.UpdateOffset(ctx, &pb.UpdateOffsetRequest{Group: group, MessageQueue: queue, Offset: 1})
			return resp.GetStatus(), err
		},
		"GetOffset": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.GetOffset(ctx, &pb.GetOffsetRequest{Group: group, MessageQueue: queue})
			return resp.GetStatus(), err
		},
		"QueryOffset": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.QueryOffset(ctx, &pb.QueryOffsetRequest{MessageQueue: queue})
			return resp.GetStatus(), err
		},
		"NotifyClientTermination": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.NotifyClientTermination(ctx, &pb.NotifyClientTerminationRequest{Group: group})
			return resp.GetStatus(), err
		},
		"ChangeInvisibleDuration": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.ChangeInvisibleDuration(ctx, &pb.ChangeInvisibleDurationRequest{
				Topic: topic, Group: group, ReceiptHandle: "x", InvisibleDuration: durationpb.New(time.Second),
			})
			return resp.GetStatus(), err
		},
		"EndTransaction": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.EndTransaction(ctx, &pb.EndTransactionRequest{Topic: topic, TransactionId: "1"})
			return resp.GetStatus(), err
		},
		"RecallMessage": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.RecallMessage(ctx, &pb.RecallMessageRequest{Topic: topic, RecallHandle: "x"})
			return resp.GetStatus(), err
		},
		"SyncLiteSubscription": func(ctx context.Context) (*pb.Status, error) {
			resp, err := c.SyncLiteSubscription(ctx, &pb.SyncLiteSubscriptionRequest{Topic: topic, Group: group})
			return resp.GetStatus(), err
		},
	}
}
