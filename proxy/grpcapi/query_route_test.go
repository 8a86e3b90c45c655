package grpcapi

import (
	"net"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
)

func endpoints(scheme pb.AddressScheme, port int32, hosts ...string) *pb.Endpoints {
	out := &pb.Endpoints{Scheme: scheme}
	for _, h := range hosts {
		out.Addresses = append(out.Addresses, &pb.Address{Host: h, Port: port})
	}
	return out
}

func (r *rig) route(topic *pb.Resource, asked *pb.Endpoints) *pb.QueryRouteResponse {
	r.t.Helper()
	resp, err := r.client.QueryRoute(r.as("c"), &pb.QueryRouteRequest{Topic: topic, Endpoints: asked})
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

func TestQueryRoute(t *testing.T) {
	r := newRig(t, rigOptions{})
	got := r.route(topicResource(testTopic), accessPoint())
	if got.GetStatus().GetCode() != pb.Code_OK || len(got.GetMessageQueues()) != 2 {
		t.Fatalf("%v", got)
	}
	for i, q := range got.GetMessageQueues() {
		if int(q.GetId()) != i || q.GetPermission() != pb.Permission_READ_WRITE || q.GetBroker().GetName() != "strata" || q.GetBroker().GetId() != 0 ||
			q.GetTopic().GetName() != testTopic || len(q.GetAcceptMessageTypes()) != 1 || q.GetAcceptMessageTypes()[0] != pb.MessageType_NORMAL {
			t.Errorf("queue %d: %v", i, q)
		}
	}
	if again := r.route(topicResource(testTopic), accessPoint()); !proto.Equal(again, got) {
		t.Error("another answer to the same question")
	}
}

func TestRouteEndpoints(t *testing.T) {
	const v4, v6, name = pb.AddressScheme_IPv4, pb.AddressScheme_IPv6, pb.AddressScheme_DOMAIN_NAME
	r := newRig(t, rigOptions{})
	local := r.listener.Addr().(*net.TCPAddr)
	for title, c := range map[string]struct {
		asked, want *pb.Endpoints
		code        pb.Code
	}{
		"IPv4":                      {endpoints(v4, 8081, "10.0.0.1"), endpoints(v4, 8081, "10.0.0.1"), pb.Code_OK},
		"two, in their order":       {endpoints(v4, 8081, "10.0.0.2", "10.0.0.1"), endpoints(v4, 8081, "10.0.0.2", "10.0.0.1"), pb.Code_OK},
		"IPv6":                      {endpoints(v6, 8081, "::1"), endpoints(v6, 8081, "::1"), pb.Code_OK},
		"a name":                    {endpoints(name, 443, "broker"), endpoints(name, 443, "broker"), pb.Code_OK},
		"two names":                 {endpoints(name, 443, "a", "b"), endpoints(name, 443, "a"), pb.Code_OK},
		"a name called IPv4":        {endpoints(v4, 8081, "localhost"), endpoints(name, 8081, "localhost"), pb.Code_OK},
		"IPv4 called a name":        {endpoints(name, 8081, "127.0.0.1"), endpoints(v4, 8081, "127.0.0.1"), pb.Code_OK},
		"no scheme":                 {endpoints(0, 8081, "127.0.0.1"), endpoints(v4, 8081, "127.0.0.1"), pb.Code_OK},
		"families mixed":            {endpoints(v4, 8081, "127.0.0.1", "::1", "h"), endpoints(v4, 8081, "127.0.0.1"), pb.Code_OK},
		"none: where it came in":    {nil, endpoints(v4, int32(local.Port), "127.0.0.1"), pb.Code_OK},
		"no host":                   {endpoints(v4, 8081, ""), nil, pb.Code_ILLEGAL_ACCESS_POINT},
		"no port":                   {endpoints(v4, 0, "127.0.0.1"), nil, pb.Code_ILLEGAL_ACCESS_POINT},
		"a port beyond":             {endpoints(v4, 65536, "127.0.0.1"), nil, pb.Code_ILLEGAL_ACCESS_POINT},
		"more addresses than sense": {endpoints(v4, 1, make([]string, 65)...), nil, pb.Code_ILLEGAL_ACCESS_POINT},
	} {
		t.Run(title, func(t *testing.T) {
			got := r.route(topicResource(testTopic), c.asked)
			if got.GetStatus().GetCode() != c.code {
				t.Fatalf("%v", got.GetStatus())
			}
			for _, q := range got.GetMessageQueues() {
				if !proto.Equal(q.GetBroker().GetEndpoints(), c.want) {
					t.Errorf("%v, want %v", q.GetBroker().GetEndpoints(), c.want)
				}
			}
		})
	}
}

func TestRouteAdvertised(t *testing.T) {
	r := newRig(t, rigOptions{config: func(c *Config) { c.Advertise = "mq.example.com:443" }})
	got := r.route(topicResource(testTopic), accessPoint()).GetMessageQueues()[0].GetBroker().GetEndpoints()
	if !proto.Equal(got, endpoints(pb.AddressScheme_DOMAIN_NAME, 443, "mq.example.com")) {
		t.Errorf("%v", got)
	}
}

// TestNamespace joins namespace and name, from the resource or from the header, and says back what it was
// told.
func TestNamespace(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.directory.Put(meta.Topic{Name: "ns%orders", Queues: 1, Shards: r.oneShard(), Type: meta.TypeNormal, Ack: meta.AckDurable})
	r.directory.Put(meta.Topic{Name: "%DLQ%ns%billing", Queues: 1, Type: meta.TypeNormal, Ack: meta.AckDurable})
	inHeader := metadata.AppendToOutgoingContext(r.as("c"), headerNamespace, "ns")
	for name, c := range map[string]struct {
		header bool
		topic  *pb.Resource
		queues int
	}{
		"in the resource":     {false, &pb.Resource{ResourceNamespace: "ns", Name: testTopic}, 1},
		"in the header":       {true, topicResource(testTopic), 1},
		"in both":             {true, &pb.Resource{ResourceNamespace: "ns", Name: testTopic}, 1},
		"nowhere":             {false, topicResource(testTopic), 2},
		"dead letters":        {true, topicResource("%DLQ%billing"), 1},
		"dead letters, whole": {false, topicResource("%DLQ%ns%billing"), 1},
	} {
		ctx := r.as("c")
		if c.header {
			ctx = inHeader
		}
		got, err := r.client.QueryRoute(ctx, &pb.QueryRouteRequest{Topic: c.topic, Endpoints: accessPoint()})
		if err != nil || len(got.GetMessageQueues()) != c.queues || !proto.Equal(got.GetMessageQueues()[0].GetTopic(), c.topic) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	// A message sent by one way is received by the other, and names its topic as the receiver does.
	m := plainMessage("1", "body")
	m.Topic = &pb.Resource{ResourceNamespace: "ns", Name: testTopic}
	r.mustSend(m)
	stream, err := r.client.ReceiveMessage(inHeader, receiveRequest(1))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readReceive(stream)
	if err != nil || len(got.messages) != 1 || !proto.Equal(got.messages[0].GetTopic(), topicResource(testTopic)) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestQueryAssignment(t *testing.T) {
	r := newRig(t, rigOptions{})
	ask := func(client string, topic *pb.Resource) *pb.QueryAssignmentResponse {
		resp, err := r.client.QueryAssignment(r.as(client), &pb.QueryAssignmentRequest{Topic: topic, Group: groupResource(), Endpoints: accessPoint()})
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	got := ask("one", topicResource(testTopic))
	if got.GetStatus().GetCode() != pb.Code_OK || len(got.GetAssignments()) != 1 {
		t.Fatalf("%v", got)
	}
	q := got.GetAssignments()[0].GetMessageQueue()
	if q.GetId() != -1 || q.GetPermission() != pb.Permission_READ_WRITE || q.GetTopic().GetName() != testTopic ||
		q.GetBroker().GetId() != 0 || !proto.Equal(q.GetBroker().GetEndpoints(), accessPoint()) {
		t.Errorf("%v", q)
	}
	if again := ask("another", topicResource(testTopic)); !proto.Equal(again, got) {
		t.Error("another consumer of the group gets another list")
	}
	if got := ask("one", topicResource("nobody")); got.GetStatus().GetCode() != pb.Code_TOPIC_NOT_FOUND || len(got.GetAssignments()) != 0 {
		t.Errorf("unknown topic: %v", got)
	}
}

// TestGroupsAppear uses a group for the first time, with the switch on and off.
func TestGroupsAppear(t *testing.T) {
	for _, on := range []bool{true, false} {
		r := newRig(t, rigOptions{proxy: func(c *proxy.Config) { c.AutoCreateGroups = on }})
		want := pb.Code_CONSUMER_GROUP_NOT_FOUND
		if on {
			want = pb.Code_MESSAGE_NOT_FOUND
		}
		if got := r.receive(receiveRequest(1)); got.status.GetCode() != want {
			t.Errorf("on=%v: %v", on, got.status)
		}
		_, err := r.directory.GroupByName(t.Context(), "billing")
		if (err == nil) != on {
			t.Errorf("on=%v: %v", on, err)
		}
	}
}

// TestNotYet calls what this version does not do.
func TestNotYet(t *testing.T) {
	r := newRig(t, rigOptions{})
	calls := r.calls(groupResource())
	for _, rpc := range []string{"EndTransaction", "RecallMessage", "SyncLiteSubscription"} {
		status, err := calls[rpc](r.as("c"))
		if err != nil || status.GetCode() != pb.Code_NOT_IMPLEMENTED || status.GetMessage() != "not implemented yet: this version has NORMAL messages only" {
			t.Errorf("%s: %v %v", rpc, status, err)
		}
	}
}
