package grpcapi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rocketmqv2 "github.com/stratamq/stratamq/api/rocketmq/v2"
)

// fullMessage has every field that there is.
func fullMessage(body []byte) *rocketmqv2.Message {
	return &rocketmqv2.Message{
		Topic:          &rocketmqv2.Resource{ResourceNamespace: "ns", Name: "orders"},
		UserProperties: map[string]string{"color": "blue", "订": "单", "": ""},
		SystemProperties: &rocketmqv2.SystemProperties{
			Tag:               new("created"),
			Keys:              []string{"k1", "k2"},
			MessageId:         "01AABBCCDDEEFF00110000000000000001",
			BodyDigest:        &rocketmqv2.Digest{Type: rocketmqv2.DigestType_MD5, Checksum: "AB"},
			BodyEncoding:      rocketmqv2.Encoding_IDENTITY,
			MessageType:       rocketmqv2.MessageType_FIFO,
			BornTimestamp:     &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5},
			BornHost:          "host",
			StoreTimestamp:    &timestamppb.Timestamp{Seconds: 1},
			StoreHost:         "store",
			DeliveryTimestamp: &timestamppb.Timestamp{Seconds: 1700000060},
			ReceiptHandle:     new("handle"),
			QueueId:           3,
			QueueOffset:       new(int64(9)),
			InvisibleDuration: &durationpb.Duration{Seconds: 2},
			DeliveryAttempt:   new(int32(-7)),
			MessageGroup:      new(""),
			TraceContext:      new("00-abc"),

			OrphanedTransactionRecoveryDuration: &durationpb.Duration{Seconds: -1, Nanos: -2},

			DeadLetterQueue: &rocketmqv2.DeadLetterQueue{Topic: "t", MessageId: "m"},
			LiteTopic:       new("lite"),
			Priority:        new(int32(0)),
		},
		Body: body,
	}
}

func marshal(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// compare scans src and decodes it with the generated code, and fails if the results differ.
func compare(t *testing.T, r *SendRequest, src []byte) {
	t.Helper()
	var want rocketmqv2.SendMessageRequest
	wantErr := proto.Unmarshal(src, &want)
	err := r.Scan(src)
	if errors.Is(err, errTooManyMessages) || errors.Is(err, errTooManyProperties) {
		return // TestScanBounds
	}
	if (err != nil) != (wantErr != nil) {
		t.Fatalf("%x: scanner %v, generated decoder %v", src, err, wantErr)
	}
	if err != nil {
		return
	}
	if len(r.Messages) != len(want.GetMessages()) {
		t.Fatalf("%x: %d messages, want %d", src, len(r.Messages), len(want.GetMessages()))
	}
	for i, m := range want.GetMessages() {
		if got, want := describe(&r.Messages[i]), describeGenerated(m); got != want {
			t.Fatalf("%x: message %d\n%s, want\n%s", src, i, got, want)
		}
		properties := map[string]string{}
		for _, p := range r.Messages[i].Properties {
			properties[string(p.Key)] = string(p.Value)
		}
		if len(properties) != len(r.Messages[i].Properties) || !maps.Equal(properties, m.GetUserProperties()) {
			t.Fatalf("%x: properties %q, want %q", src, r.Messages[i].Properties, m.GetUserProperties())
		}
	}
}

// describe writes every field but the user properties.
func describe(m *SendMessage) string {
	optional := func(text []byte) string { return fmt.Sprintf("%v %q", text != nil, text) }
	return fmt.Sprintf("%q %q %x; %s %q %q %d %d %v %q %v; %s %s %v %s %v %d",
		m.Namespace, m.Topic, m.Body,
		optional(m.Tag), m.Keys, m.MessageID, m.Encoding, m.Type, m.BornTime, m.BornHost, m.DeliveryTime,
		optional(m.MessageGroup), optional(m.TraceContext), m.RecoveryTime, optional(m.LiteTopic),
		m.HasPriority, m.Priority)
}

func describeGenerated(m *rocketmqv2.Message) string {
	s := m.GetSystemProperties()
	if s == nil {
		s = &rocketmqv2.SystemProperties{}
	}
	optional := func(text *string) string {
		if text == nil {
			return `false ""`
		}
		return fmt.Sprintf("true %q", *text)
	}
	type moment interface {
		GetSeconds() int64
		GetNanos() int32
	}
	when := func(set bool, t moment) SendTime { return SendTime{set, t.GetSeconds(), t.GetNanos()} }
	return fmt.Sprintf("%q %q %x; %s %q %q %d %d %v %q %v; %s %s %v %s %v %d",
		m.GetTopic().GetResourceNamespace(), m.GetTopic().GetName(), m.GetBody(),
		optional(s.Tag), s.GetKeys(), s.GetMessageId(), s.GetBodyEncoding(), s.GetMessageType(),
		when(s.BornTimestamp != nil, s.GetBornTimestamp()), s.GetBornHost(),
		when(s.DeliveryTimestamp != nil, s.GetDeliveryTimestamp()),
		optional(s.MessageGroup), optional(s.TraceContext),
		when(s.OrphanedTransactionRecoveryDuration != nil, s.GetOrphanedTransactionRecoveryDuration()),
		optional(s.LiteTopic), s.Priority != nil, s.GetPriority())
}

// oddRequests are requests that a decoder may get wrong, each with a name.
func oddRequests(tb testing.TB) map[string][]byte {
	field := func(number protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value)
	}
	varint := func(number protowire.Number, value uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
	}
	group := func(number protowire.Number, inside []byte) []byte {
		b := append(protowire.AppendTag(nil, number, protowire.StartGroupType), inside...)
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	}
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	message := func(parts ...[]byte) []byte { return field(1, join(parts...)) }
	system := func(parts ...[]byte) []byte { return message(field(3, join(parts...))) }
	property := func(key, value string) []byte {
		return field(2, join(field(1, []byte(key)), field(2, []byte(value))))
	}
	full := marshal(tb, &rocketmqv2.SendMessageRequest{Messages: []*rocketmqv2.Message{
		fullMessage([]byte("body")), {}, fullMessage(nil),
	}})
	odd := map[string][]byte{
		"nothing":                       {},
		"full":                          full,
		"cut":                           full[:len(full)-1],
		"unknown fields":                join(varint(9, 1), message(varint(77, 1), field(78, []byte("x"))), field(2, nil)),
		"highest field number":          varint(protowire.MaxValidNumber, 1),
		"field number too high":         varint(protowire.MaxValidNumber+1, 1),
		"field number zero":             {0x00, 0x00},
		"group":                         group(5, join(varint(1, 1), group(6, nil))),
		"known field as a group":        message(group(4, varint(1, 1))),
		"end of no group":               protowire.AppendTag(nil, 1, protowire.EndGroupType),
		"group without an end":          protowire.AppendTag(nil, 5, protowire.StartGroupType),
		"group with another's end":      join(protowire.AppendTag(nil, 5, protowire.StartGroupType), protowire.AppendTag(nil, 6, protowire.EndGroupType)),
		"messages as a number":          varint(1, 7),
		"body as a number":              message(varint(4, 7)),
		"two bodies":                    message(field(4, []byte("a")), field(4, []byte("b"))),
		"a body, then an empty one":     message(field(4, []byte("a")), field(4, nil)),
		"topics that merge":             message(field(1, field(1, []byte("ns"))), field(1, field(2, []byte("t")))),
		"system properties that merge":  message(field(3, field(2, []byte("a"))), field(3, join(field(1, nil), field(2, []byte("b"))))),
		"times that merge":              system(field(7, varint(1, 5)), field(7, varint(2, 6))),
		"empty time":                    system(field(11, nil)),
		"time as a number":              system(varint(11, 1)),
		"time with an unknown field":    system(field(11, join(field(3, nil), varint(1, 4)))),
		"time cut off":                  system(field(9, []byte{0x08})),
		"enum of 64 bits":               system(varint(5, 1<<40|1), varint(6, 1<<63|2)),
		"negative priority":             system(varint(22, 1<<64-1)),
		"varint of eleven bytes":        system(join(protowire.AppendTag(nil, 22, protowire.VarintType), bytes.Repeat([]byte{0xff}, 11))),
		"property twice":                message(property("a", "1"), property("b", "2"), property("a", "3")),
		"property without a value":      message(field(2, field(1, []byte("a")))),
		"property without a key":        message(field(2, field(2, []byte("a")))),
		"property of two keys":          message(field(2, join(field(1, []byte("a")), field(1, []byte("b"))))),
		"property key as a number":      message(field(2, join(varint(1, 1), field(2, []byte("v"))))),
		"property with unknown field":   message(field(2, join(varint(3, 1), field(1, []byte("a"))))),
		"property field number too far": message(field(2, varint(protowire.MaxValidNumber+1, 1))),
		"property is no UTF-8":          message(property("\xff", "")),
		"property value is no UTF-8":    message(property("a", "\xff")),
		"topic is no UTF-8":             message(field(1, field(2, []byte{0xc0}))),
		"body is no UTF-8":              message(field(4, []byte{0xc0})),
	}
	for number := range protowire.Number(24) {
		if number == 0 {
			continue
		}
		odd[fmt.Sprintf("system property %d is no UTF-8", number)] = system(field(number, []byte{0xc0}))
		odd[fmt.Sprintf("system property %d as a number", number)] = system(varint(number, 3))
		odd[fmt.Sprintf("system property %d as a group", number)] = system(group(number, nil))
		for inner := range protowire.Number(4) {
			if inner > 0 {
				odd[fmt.Sprintf("system property %d holds %d that is no UTF-8", number, inner)] = system(field(number, field(inner, []byte{0xc0})))
			}
		}
	}
	return odd
}

func TestScanAsGeneratedDecoder(t *testing.T) {
	var r SendRequest // the same for all, so that nothing of one request may show in the next
	for name, src := range oddRequests(t) {
		t.Run(name, func(t *testing.T) { compare(t, &r, src) })
	}
}

// TestScanCutAnywhere scans every beginning of a full request.
func TestScanCutAnywhere(t *testing.T) {
	var r SendRequest
	src := oddRequests(t)["full"]
	for n := range src {
		compare(t, &r, src[:n])
	}
}

func TestScanAliasesAndForgets(t *testing.T) {
	src := oddRequests(t)["full"]
	var r SendRequest
	if err := r.Scan(src); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(src, []byte("body"))
	src[at] = 'B'
	if string(r.Messages[0].Body) != "Body" {
		t.Errorf("the body is a copy: %q", r.Messages[0].Body)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Scan(src); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	r.Reset()
	for _, m := range r.Messages[:cap(r.Messages)] {
		if m.Body != nil || m.Topic != nil || slices.ContainsFunc(m.Keys[:cap(m.Keys)], func(k []byte) bool { return k != nil }) {
			t.Errorf("still aliases: %+v", m)
		}
	}
}

// TestScanBounds holds the number of parts that a request may have, each at its bound and above.
func TestScanBounds(t *testing.T) {
	request := func(m *rocketmqv2.Message, times int) []byte {
		return bytes.Repeat(marshal(t, &rocketmqv2.SendMessageRequest{Messages: []*rocketmqv2.Message{m}}), times)
	}
	properties := func(n int) *rocketmqv2.Message {
		m := &rocketmqv2.Message{UserProperties: map[string]string{}}
		for i := range n {
			m.UserProperties[fmt.Sprint(i)] = "v"
		}
		return m
	}
	keys := func(n int) *rocketmqv2.Message {
		return &rocketmqv2.Message{SystemProperties: &rocketmqv2.SystemProperties{Keys: make([]string, n)}}
	}
	var r SendRequest
	for _, c := range []struct {
		name string
		src  []byte
		want error
	}{
		{"messages", request(&rocketmqv2.Message{}, maxSendMessages), nil},
		{"a message more", request(&rocketmqv2.Message{}, maxSendMessages+1), errTooManyMessages},
		{"properties", request(properties(maxUserProperties), 2), nil},
		{"a property more", request(properties(maxUserProperties+1), 1), errTooManyProperties},
		{"keys", request(keys(maxSendKeys), 1), nil},
		{"a key more", request(keys(maxSendKeys+1), 1), errTooManyProperties},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := r.Scan(c.src); !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			compare(t, &r, c.src)
		})
	}
}

func FuzzScan(f *testing.F) {
	for _, src := range oddRequests(f) {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var r SendRequest
		compare(t, &r, src)
		compare(t, &r, src)
	})
}

func benchmarkRequest(b *testing.B, size, batch int) []byte {
	request := &rocketmqv2.SendMessageRequest{}
	for range batch {
		m := fullMessage(make([]byte, size))
		m.SystemProperties = &rocketmqv2.SystemProperties{
			Tag: new("created"), Keys: []string{"order-1"}, MessageId: "01AABBCCDDEEFF00110000000000000001",
			BodyEncoding: rocketmqv2.Encoding_IDENTITY, MessageType: rocketmqv2.MessageType_NORMAL,
			BornTimestamp: &timestamppb.Timestamp{Seconds: 1700000000, Nanos: 5}, BornHost: "host",
		}
		request.Messages = append(request.Messages, m)
	}
	return marshal(b, request)
}

func BenchmarkSendRequest(b *testing.B) {
	for _, batch := range []int{1, 16} {
		src := benchmarkRequest(b, 1<<10, batch)
		b.Run(fmt.Sprintf("scan/size=1KiB/batch=%d", batch), func(b *testing.B) {
			var r SendRequest
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Scan(src); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("generated/size=1KiB/batch=%d", batch), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				var r rocketmqv2.SendMessageRequest
				if err := proto.Unmarshal(src, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
