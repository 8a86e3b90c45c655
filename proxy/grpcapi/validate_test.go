package grpcapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/meta"
)

func properties(n, size int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("p%03d", i)] = strings.Repeat("v", size)
	}
	return out
}

// TestSendRefused sends every message that must not be stored, and checks code and text, that nothing was
// stored, and that there are no entries.
func TestSendRefused(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.directory.Put(meta.Topic{Name: "fifo", Queues: 1, Shards: r.oneShard(), Type: meta.TypeFIFO, Ack: meta.AckDurable})
	const (
		topicChars = "topic has a character other than % | a-z A-Z 0-9 _ -"
		conflict   = "the topic takes NORMAL messages, the fields make this one "
		calls      = "the topic takes NORMAL messages, this one calls itself "
	)
	topic := func(name string) func(*pb.Message) {
		return func(m *pb.Message) { m.Topic = topicResource(name) }
	}
	system := func(f func(*pb.SystemProperties)) func(*pb.Message) {
		return func(m *pb.Message) { f(m.GetSystemProperties()) }
	}
	user := func(p map[string]string) func(*pb.Message) {
		return func(m *pb.Message) { m.UserProperties = p }
	}
	for _, c := range []struct {
		name   string
		change func(*pb.Message)
		code   pb.Code
		text   string
	}{
		{"topic unknown", topic("nobody"), pb.Code_TOPIC_NOT_FOUND, "topic not found: nobody"},
		{"topic empty", topic(""), pb.Code_ILLEGAL_TOPIC, "topic is blank"},
		{"topic missing", func(m *pb.Message) { m.Topic = nil }, pb.Code_ILLEGAL_TOPIC, "topic is blank"},
		{"topic of white space", topic(" \t"), pb.Code_ILLEGAL_TOPIC, "topic is blank"},
		{"topic of 128 bytes", topic(strings.Repeat("t", 128)), pb.Code_ILLEGAL_TOPIC, "topic with its namespace is longer than 127 bytes"},
		{"topic of 127 bytes", topic(strings.Repeat("t", 127)), pb.Code_TOPIC_NOT_FOUND, "topic not found: " + strings.Repeat("t", 127)},
		{"topic too long by its namespace", func(m *pb.Message) {
			m.Topic = &pb.Resource{ResourceNamespace: strings.Repeat("n", 64), Name: strings.Repeat("t", 63)}
		}, pb.Code_ILLEGAL_TOPIC, "topic with its namespace is longer than 127 bytes"},
		{"topic with a space", topic("a b"), pb.Code_ILLEGAL_TOPIC, topicChars},
		{"topic with a dot", topic("a.b"), pb.Code_ILLEGAL_TOPIC, topicChars},
		{"topic in Chinese", topic("订单"), pb.Code_ILLEGAL_TOPIC, topicChars},
		{"topic with a separator", topic("a\x01b"), pb.Code_ILLEGAL_TOPIC, topicChars},
		{"namespace with a separator", func(m *pb.Message) {
			m.Topic = &pb.Resource{ResourceNamespace: "a\x02b", Name: testTopic}
		}, pb.Code_ILLEGAL_TOPIC, topicChars},
		{"namespace with a percent sign", func(m *pb.Message) {
			m.Topic = &pb.Resource{ResourceNamespace: "a%b", Name: testTopic}
		}, pb.Code_ILLEGAL_TOPIC, topicChars},
		{"topic of the system", topic("SCHEDULE_TOPIC_XXXX"), pb.Code_ILLEGAL_TOPIC, "topic is one of the system's"},
		{"topic with the system's prefix", topic("rmq_sys_anything"), pb.Code_ILLEGAL_TOPIC, "topic is one of the system's"},
		{"topic of another type", topic("fifo"), pb.Code_NOT_IMPLEMENTED, "not implemented yet: topics of type FIFO"},

		{"body empty", func(m *pb.Message) { m.Body = nil }, pb.Code_MESSAGE_BODY_EMPTY, "message body is empty"},
		{"body too large", func(m *pb.Message) { m.Body = make([]byte, 4<<20+1) }, pb.Code_MESSAGE_BODY_TOO_LARGE, "message body is larger than 4194304 bytes"},
		{"body encoding unknown", system(func(p *pb.SystemProperties) { p.BodyEncoding = 9 }), pb.Code_BAD_REQUEST, "body encoding is not known"},

		{"129 properties", user(properties(129, 1)), pb.Code_MESSAGE_PROPERTIES_TOO_LARGE, "more than 128 user properties, or more than 1024 keys"},
		{"1025 keys", system(func(p *pb.SystemProperties) { p.Keys = strings.Split(strings.Repeat("k ", 1024)+"k", " ") }), pb.Code_MESSAGE_PROPERTIES_TOO_LARGE, "more than 128 user properties, or more than 1024 keys"},
		{"properties of 16 KiB and a byte", func(m *pb.Message) {
			m.UserProperties = map[string]string{"p": strings.Repeat("v", 16<<10-len("p"+"created"+"k1"+"k2")+1)}
		}, pb.Code_MESSAGE_PROPERTIES_TOO_LARGE, "user properties, tag and keys are larger than 16384 bytes"},
		{"property key empty", user(map[string]string{"": "v"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key is empty"},
		{"property key reserved", user(map[string]string{"KEYS": "v"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key is reserved: KEYS"},
		{"property key reserved, checksum", user(map[string]string{"__CRC32#": "v"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key is reserved: __CRC32#"},
		{"property key with a control character", user(map[string]string{"a\x02b": "v"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key has a control character"},
		{"property key with U+0085", user(map[string]string{"a\u0085": "v"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key has a control character"},
		{"property value with a control character", user(map[string]string{"a": "v\x01"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property value has a control character"},
		{"property value with U+007F", user(map[string]string{"a": "杭\x7f"}), pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property value has a control character"},

		{"tag of white space", system(func(p *pb.SystemProperties) { p.Tag = new("  ") }), pb.Code_ILLEGAL_MESSAGE_TAG, "tag has only white space"},
		{"tag with a bar", system(func(p *pb.SystemProperties) { p.Tag = new("a|b") }), pb.Code_ILLEGAL_MESSAGE_TAG, "tag has a vertical bar"},
		{"tag with a control character", system(func(p *pb.SystemProperties) { p.Tag = new("a\nb") }), pb.Code_ILLEGAL_MESSAGE_TAG, "tag has a control character"},
		{"key of white space", system(func(p *pb.SystemProperties) { p.Keys = []string{"k", " "} }), pb.Code_ILLEGAL_MESSAGE_KEY, "key has only white space"},
		{"key with a control character", system(func(p *pb.SystemProperties) { p.Keys = []string{"k\x00"} }), pb.Code_ILLEGAL_MESSAGE_KEY, "key has a control character"},
		{"message group of white space", system(func(p *pb.SystemProperties) { p.MessageGroup = new(" ") }), pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has only white space"},
		{"message group of 64 bytes", system(func(p *pb.SystemProperties) { p.MessageGroup = new(strings.Repeat("g", 64)) }), pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has 64 bytes or more"},
		{"message group with a control character", system(func(p *pb.SystemProperties) { p.MessageGroup = new("g\x1f") }), pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has a control character"},

		{"message id missing", system(func(p *pb.SystemProperties) { p.MessageId = "" }), pb.Code_ILLEGAL_MESSAGE_ID, "message id is blank"},
		{"no system properties", func(m *pb.Message) { m.SystemProperties = nil }, pb.Code_ILLEGAL_MESSAGE_ID, "message id is blank"},
		{"message id of white space", system(func(p *pb.SystemProperties) { p.MessageId = " " }), pb.Code_ILLEGAL_MESSAGE_ID, "message id is blank"},
		{"message id of 257 bytes", system(func(p *pb.SystemProperties) { p.MessageId = strings.Repeat("a", 257) }), pb.Code_ILLEGAL_MESSAGE_ID, "message id is longer than 256 bytes"},
		{"message id with a separator", system(func(p *pb.SystemProperties) { p.MessageId = "a\x01TAGS\x02" }), pb.Code_ILLEGAL_MESSAGE_ID, "message id has a control character"},
		{"born host of 257 bytes", system(func(p *pb.SystemProperties) { p.BornHost = strings.Repeat("h", 257) }), pb.Code_BAD_REQUEST, "born host is longer than 256 bytes"},
		{"born host with a separator", system(func(p *pb.SystemProperties) { p.BornHost = "h\x02" }), pb.Code_BAD_REQUEST, "born host has a control character"},
		{"trace context of 2049 bytes", system(func(p *pb.SystemProperties) { p.TraceContext = new(strings.Repeat("t", 2049)) }), pb.Code_BAD_REQUEST, "trace context is longer than 2048 bytes"},
		{"trace context with a separator", system(func(p *pb.SystemProperties) { p.TraceContext = new("t\x01") }), pb.Code_BAD_REQUEST, "trace context has a control character"},

		{"message group on a NORMAL topic", system(func(p *pb.SystemProperties) { p.MessageGroup = new("g") }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, conflict + "FIFO"},
		{"delivery time on a NORMAL topic", system(func(p *pb.SystemProperties) { p.DeliveryTimestamp = timestamppb.Now() }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, conflict + "DELAY"},
		{"recovery duration on a NORMAL topic", system(func(p *pb.SystemProperties) {
			p.OrphanedTransactionRecoveryDuration = durationpb.New(time.Second)
		}), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, conflict + "TRANSACTION"},
		{"lite topic on a NORMAL topic", system(func(p *pb.SystemProperties) { p.LiteTopic = new("l") }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, conflict + "LITE"},
		{"priority on a NORMAL topic", system(func(p *pb.SystemProperties) { p.Priority = new(int32(0)) }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, conflict + "PRIORITY"},
		{"calls itself FIFO", system(func(p *pb.SystemProperties) { p.MessageType = pb.MessageType_FIFO }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, calls + "FIFO"},
		{"calls itself TRANSACTION", system(func(p *pb.SystemProperties) { p.MessageType = pb.MessageType_TRANSACTION }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, calls + "TRANSACTION"},
		{"calls itself a type unheard of", system(func(p *pb.SystemProperties) { p.MessageType = 99 }), pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, calls + "99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := plainMessage("01AB", "body")
			c.change(m)
			before := r.shard.Count()
			resp := r.send(m)
			if s := resp.GetStatus(); s.GetCode() != c.code || s.GetMessage() != c.text {
				t.Errorf("got %v %q, want %v %q", s.GetCode(), s.GetMessage(), c.code, c.text)
			}
			if len(resp.GetEntries()) != 0 || r.shard.Count() != before {
				t.Errorf("%d entries, %d messages stored", len(resp.GetEntries()), r.shard.Count()-before)
			}
		})
	}
}

// TestSendAccepted sends what is just allowed.
func TestSendAccepted(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.directory.Put(meta.Topic{Name: "n%orders", Queues: 1, Shards: r.oneShard(), Type: meta.TypeNormal, Ack: meta.AckDurable})
	r.directory.Put(meta.Topic{Name: strings.Repeat("t", 127), Queues: 1, Shards: r.oneShard(), Type: meta.TypeNormal, Ack: meta.AckDurable})
	for name, change := range map[string]func(*pb.Message){
		"a body of one byte": func(m *pb.Message) { m.Body = []byte{0} },
		"a body of 4 MiB":    func(m *pb.Message) { m.Body = make([]byte, 4<<20) },
		"128 properties":     func(m *pb.Message) { m.UserProperties = properties(128, 1) },
		"properties of 16 KiB": func(m *pb.Message) {
			m.UserProperties = map[string]string{"p": strings.Repeat("v", 16<<10-len("p"+"created"+"k1"+"k2"))}
		},
		"a topic of 127 bytes":     func(m *pb.Message) { m.Topic = topicResource(strings.Repeat("t", 127)) },
		"a namespace":              func(m *pb.Message) { m.Topic = &pb.Resource{ResourceNamespace: "n", Name: testTopic} },
		"an empty tag":             func(m *pb.Message) { m.SystemProperties.Tag = new("") },
		"an empty key":             func(m *pb.Message) { m.SystemProperties.Keys = []string{""} },
		"an empty message group":   func(m *pb.Message) { m.SystemProperties.MessageGroup = new("") },
		"a message id of 256":      func(m *pb.Message) { m.SystemProperties.MessageId = strings.Repeat("a", 256) },
		"a born host of 256":       func(m *pb.Message) { m.SystemProperties.BornHost = strings.Repeat("h", 256) },
		"a trace context of 2 KiB": func(m *pb.Message) { m.SystemProperties.TraceContext = new(strings.Repeat("t", 2048)) },
		"no message type":          func(m *pb.Message) { m.SystemProperties.MessageType = 0 },
		"no body encoding":         func(m *pb.Message) { m.SystemProperties.BodyEncoding = 0 },
		"everything in Chinese":    func(m *pb.Message) { m.SystemProperties.Tag, m.SystemProperties.Keys = new("标签"), []string{"键"} },
	} {
		t.Run(name, func(t *testing.T) {
			m := plainMessage("01AB", "body")
			change(m)
			if s := r.send(m).GetStatus(); s.GetCode() != pb.Code_OK {
				t.Error(s)
			}
		})
	}
}

// TestBatchRefused sends batches that are none.
func TestBatchRefused(t *testing.T) {
	r := newRig(t, rigOptions{})
	other := plainMessage("2", "b")
	other.Topic = &pb.Resource{ResourceNamespace: "n", Name: testTopic}
	bad := plainMessage("2", "")
	for name, c := range map[string]struct {
		messages []*pb.Message
		code     pb.Code
		text     string
	}{
		"no message":                {nil, pb.Code_MESSAGE_CORRUPTED, "request has no message"},
		"two topics":                {[]*pb.Message{plainMessage("1", "a"), other}, pb.Code_MESSAGE_CORRUPTED, "messages of one request have different topics"},
		"the second one is refused": {[]*pb.Message{plainMessage("1", "a"), bad}, pb.Code_MESSAGE_BODY_EMPTY, "message body is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := r.send(c.messages...)
			if s := resp.GetStatus(); s.GetCode() != c.code || s.GetMessage() != c.text || len(resp.GetEntries()) != 0 || r.shard.Count() != 0 {
				t.Errorf("%v, %d stored", resp, r.shard.Count())
			}
		})
	}
}

// TestGroupRefused names groups that are none, in every call that takes one.
func TestGroupRefused(t *testing.T) {
	r := newRig(t, rigOptions{})
	for name, c := range map[string]struct{ group, text string }{
		"blank":         {" ", "consumer group is blank"},
		"121 bytes":     {strings.Repeat("g", 121), "consumer group with its namespace is longer than 120 bytes"},
		"a character":   {"g.h", "consumer group has a character other than % | a-z A-Z 0-9 _ -"},
		"a separator":   {"g\x01", "consumer group has a character other than % | a-z A-Z 0-9 _ -"},
		"of the system": {"CID_RMQ_SYS_x", "consumer group is one of the system's"},
	} {
		t.Run(name, func(t *testing.T) {
			for rpc, status := range r.everyGroupCall(&pb.Resource{Name: c.group}) {
				if status.GetCode() != pb.Code_ILLEGAL_CONSUMER_GROUP || status.GetMessage() != c.text {
					t.Errorf("%s: %v", rpc, status)
				}
			}
		})
	}
}

// TestInvisibleTime asks for invisible times at the edges.
func TestInvisibleTime(t *testing.T) {
	r := newRig(t, rigOptions{})
	for name, c := range map[string]struct {
		d       *durationpb.Duration
		auto    bool
		refused bool
	}{
		"none":                   {nil, false, true},
		"just too short":         {durationpb.New(10*time.Second - 1), false, true},
		"just too long":          {durationpb.New(12*time.Hour + 1), false, true},
		"no duration":            {&durationpb.Duration{Seconds: 20, Nanos: -1}, false, true},
		"shortest":               {durationpb.New(10 * time.Second), false, false},
		"longest":                {durationpb.New(12 * time.Hour), false, false},
		"renewed, nothing asked": {nil, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r.mustSend(plainMessage("1", "a"))
			req := receiveRequest(32)
			req.InvisibleDuration, req.AutoRenew = c.d, c.auto
			got := r.receive(req)
			if refused := got.status.GetCode() == pb.Code_ILLEGAL_INVISIBLE_TIME; refused != c.refused {
				t.Errorf("receive: %v", got.status)
			}
			if c.refused && got.status.GetMessage() != "invisible duration is outside 10 seconds to 12 hours" {
				t.Errorf("text %q", got.status.GetMessage())
			}
		})
	}
	r.receive(receiveRequest(32))
	r.mustSend(plainMessage("2", "b"))
	handle := r.receive(receiveRequest(1)).messages[0].GetSystemProperties().GetReceiptHandle()
	for name, c := range map[string]struct {
		d    *durationpb.Duration
		code pb.Code
	}{
		"negative":      {durationpb.New(-1), pb.Code_ILLEGAL_INVISIBLE_TIME},
		"just too long": {durationpb.New(12*time.Hour + 1), pb.Code_ILLEGAL_INVISIBLE_TIME},
		"longest":       {durationpb.New(12 * time.Hour), pb.Code_OK},
		"zero":          {durationpb.New(0), pb.Code_OK},
	} {
		t.Run("change "+name, func(t *testing.T) {
			resp, err := r.client.ChangeInvisibleDuration(r.as("consumer"), &pb.ChangeInvisibleDurationRequest{
				Group: groupResource(), Topic: topicResource(testTopic), ReceiptHandle: handle, InvisibleDuration: c.d,
			})
			if err != nil || resp.GetStatus().GetCode() != c.code || resp.GetReceiptHandle() == "" {
				t.Errorf("%v %v", resp, err)
			}
		})
	}
}

// TestFilterRefused sends filters that cannot be compiled.
func TestFilterRefused(t *testing.T) {
	r := newRig(t, rigOptions{})
	for name, c := range map[string]struct {
		f    *pb.FilterExpression
		code pb.Code
		text string
	}{
		"no tag":       {&pb.FilterExpression{Type: pb.FilterType_TAG, Expression: " || "}, pb.Code_ILLEGAL_FILTER_EXPRESSION, `invalid filter expression: " || " names no tag`},
		"too long":     {&pb.FilterExpression{Expression: strings.Repeat("t", 5000)}, pb.Code_ILLEGAL_FILTER_EXPRESSION, "invalid filter expression: 5000 bytes, at most 4096"},
		"SQL":          {&pb.FilterExpression{Type: pb.FilterType_SQL, Expression: "a > 1"}, pb.Code_NOT_IMPLEMENTED, "not implemented yet: filter by SQL92"},
		"type unknown": {&pb.FilterExpression{Type: 9}, pb.Code_ILLEGAL_FILTER_EXPRESSION, "filter type is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			req := receiveRequest(1)
			req.FilterExpression = c.f
			got := r.receive(req)
			if got.status.GetCode() != c.code || got.status.GetMessage() != c.text || got.delivered != nil {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestClientIDRequired makes every call without a name, and with an overlong one.
func TestClientIDRequired(t *testing.T) {
	r := newRig(t, rigOptions{})
	for rpc, status := range r.everyCall(t.Context()) {
		if status.GetCode() != pb.Code_CLIENT_ID_REQUIRED || status.GetMessage() != "header x-mq-client-id is missing" {
			t.Errorf("%s: %v", rpc, status)
		}
	}
	long := metadata.AppendToOutgoingContext(t.Context(), headerClientID, strings.Repeat("c", maxClientIDLen+1))
	for rpc, status := range r.everyCall(long) {
		if status.GetCode() != pb.Code_BAD_REQUEST || status.GetMessage() != "header x-mq-client-id is longer than 512 bytes" {
			t.Errorf("%s: %v", rpc, status)
		}
	}
}
