package grpcapi

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha1"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// Field numbers of the messages that are encoded by hand. A test compares with the generated code.
const (
	fieldContentMessage = 2 // of ReceiveMessageResponse and of PullMessageResponse

	fieldMessageTopic  = 1
	fieldMessageUser   = 2
	fieldMessageSystem = 3
	fieldMessageBody   = 4

	fieldMapKey   = 1
	fieldMapValue = 2

	fieldTag           = 1
	fieldKeys          = 2
	fieldMessageID     = 3
	fieldBodyDigest    = 4
	fieldBodyEncoding  = 5
	fieldMessageType   = 6
	fieldBornTime      = 7
	fieldBornHost      = 8
	fieldStoreTime     = 9
	fieldStoreHost     = 10
	fieldReceiptHandle = 12
	fieldQueueID       = 13
	fieldQueueOffset   = 14
	fieldAttempt       = 16
	fieldTraceContext  = 18
	fieldDeadLetter    = 20

	fieldDigestType      = 1
	fieldDigestChecksum  = 2
	fieldSeconds         = 1
	fieldNanos           = 2
	fieldDeadLetterTopic = 1
	fieldDeadLetterID    = 2
)

// maxInflated bounds what a compressed body may become at delivery, in bytes.
const maxInflated = 16 << 20

// rawFrame is an encoded answer. The codec takes its bytes as they are; it can be sent once.
type rawFrame struct{ data mem.Buffer }

// frames encodes the messages of one answer, from the stored form into the frame that goes out: the body is
// copied once, and what is allocated does not grow with the messages. It is not safe for concurrent use.
type frames struct {
	topic []byte // field topic of every message, encoded
	m     message.Message
	head  []byte // everything of a message but its body
	sys   []byte
	frame rawFrame
}

var framesPool = sync.Pool{New: func() any { return new(frames) }}

// newFrames returns an encoder for messages of a topic, in the client's own words for it. It must be freed.
func newFrames(topic *pb.Resource) *frames {
	f := framesPool.Get().(*frames)
	f.topic = protowire.AppendTag(f.topic[:0], fieldMessageTopic, protowire.BytesType)
	f.topic = protowire.AppendVarint(f.topic, uint64(proto.Size(topic)))
	// A message of two strings always has an encoding; invalid UTF-8 did not pass the check of names.
	f.topic, _ = proto.MarshalOptions{}.MarshalAppend(f.topic, topic)
	return f
}

func (f *frames) free() {
	f.m.Body, f.m.Properties, f.frame.data = nil, nil, nil
	framesPool.Put(f)
}

// delivery encodes a leased message as the frame of a receive.
func (f *frames) delivery(d proxy.Received) (*rawFrame, error) {
	return f.encode(d.Bytes, &d.Handle, d.Handle.Offset)
}

// pulled encodes a message without a lease as the frame of a pull.
func (f *frames) pulled(m message.Located) (*rawFrame, error) {
	return f.encode(m.Stored, nil, m.Offset)
}

func (f *frames) encode(stored []byte, handle *storelayer.Handle, offset message.Offset) (*rawFrame, error) {
	if err := message.DecodeStoredInto(&f.m, stored); err != nil {
		return nil, fmt.Errorf("offset %d: %w", offset, err)
	}
	body, encoding := f.m.Body, pb.Encoding_IDENTITY
	if f.m.SysFlag&message.SysFlagCompressed != 0 {
		if plain, ok := inflate(body); ok {
			body = plain
		} else {
			encoding = pb.Encoding_GZIP
		}
	}
	f.system(body, encoding, handle, offset)
	f.head = append(f.head[:0], f.topic...)
	f.userProperties()
	f.head = protowire.AppendTag(f.head, fieldMessageSystem, protowire.BytesType)
	f.head = protowire.AppendBytes(f.head, f.sys)
	f.head = protowire.AppendTag(f.head, fieldMessageBody, protowire.BytesType)
	f.head = protowire.AppendVarint(f.head, uint64(len(body)))

	inner := len(f.head) + len(body)
	size := 1 + protowire.SizeVarint(uint64(inner)) + inner
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(size)
	out := protowire.AppendTag((*buffer)[:0], fieldContentMessage, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(inner))
	out = append(append(out, f.head...), body...)
	*buffer = out
	f.frame.data = mem.NewBuffer(buffer, pool)
	return &f.frame, nil
}

// userProperties appends the properties that the producer set. Those of the protocols are not among them.
func (f *frames) userProperties() {
	for key, value := range message.EachProperty(f.m.Properties) {
		if message.IsReservedProperty(key) {
			continue
		}
		f.head = protowire.AppendTag(f.head, fieldMessageUser, protowire.BytesType)
		f.head = protowire.AppendVarint(f.head, uint64(sizeText(len(key))+sizeText(len(value))))
		f.head = appendBytes(f.head, fieldMapKey, key)
		f.head = appendBytes(f.head, fieldMapValue, value)
	}
}

// sizeText is the size of a field of n bytes whose number is below 16.
func sizeText(n int) int { return 1 + protowire.SizeBytes(n) }

func appendBytes[T ~string | ~[]byte](dst []byte, number protowire.Number, value T) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(value)))
	return append(dst, value...)
}

func appendVarint(dst []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), value)
}

// system encodes the system properties into f.sys.
func (f *frames) system(body []byte, encoding pb.Encoding, handle *storelayer.Handle, offset message.Offset) {
	dst := f.sys[:0]
	var bornHost, deadTopic, deadID []byte
	for key, value := range message.EachProperty(f.m.Properties) {
		switch string(key) {
		case message.PropertyTag:
			dst = appendBytes(dst, fieldTag, value)
		case message.PropertyKeys:
			for one := range bytes.SplitSeq(value, keySeparator) {
				if len(one) > 0 {
					dst = appendBytes(dst, fieldKeys, one)
				}
			}
		case message.PropertyMessageID:
			dst = appendBytes(dst, fieldMessageID, value)
		case message.PropertyTraceContext:
			dst = appendBytes(dst, fieldTraceContext, value)
		case message.PropertyBornHost:
			bornHost = value
		case message.PropertyDeadLetterTopic:
			deadTopic = value
		case message.PropertyDeadLetterID:
			deadID = value
		}
	}
	dst = appendDigest(dst, body)
	dst = appendVarint(dst, fieldBodyEncoding, uint64(encoding))
	dst = appendVarint(dst, fieldMessageType, uint64(pb.MessageType_NORMAL))
	dst = appendTime(dst, fieldBornTime, f.m.BornTime)
	if len(bornHost) > 0 {
		dst = appendBytes(dst, fieldBornHost, bornHost)
	} else {
		dst = appendHost(dst, fieldBornHost, f.m.BornHost, f.m.BornHost.Addr().AppendTo)
	}
	dst = appendTime(dst, fieldStoreTime, f.m.StoreTime)
	dst = appendHost(dst, fieldStoreHost, f.m.StoreHost, f.m.StoreHost.AppendTo)
	if handle != nil {
		dst = appendBytes(dst, fieldReceiptHandle, handle.String())
		dst = appendVarint(dst, fieldAttempt, uint64(max(handle.Attempt, 1)))
	} else {
		dst = appendVarint(dst, fieldAttempt, 1)
	}
	dst = appendVarint(dst, fieldQueueID, uint64(f.m.Queue.ID))
	dst = appendVarint(dst, fieldQueueOffset, uint64(offset))
	if len(deadTopic) > 0 {
		dst = protowire.AppendTag(dst, fieldDeadLetter, protowire.BytesType)
		dst = protowire.AppendVarint(dst, uint64(sizeText(len(deadTopic))+sizeText(len(deadID))))
		dst = appendBytes(dst, fieldDeadLetterTopic, deadTopic)
		dst = appendBytes(dst, fieldDeadLetterID, deadID)
	}
	f.sys = dst
}

// keySeparator joins a message's keys where they are stored.
var keySeparator = []byte{' '}

// appendDigest appends the SHA-1 of the body as it is carried, in upper-case hexadecimal. Clients demand a
// digest that finds accidents, not attacks: they know CRC-32, which each prints in its own way, MD5 and SHA-1,
// and processors compute SHA-1 in less than half the time of MD5.
func appendDigest(dst []byte, body []byte) []byte {
	const hexDigits = "0123456789ABCDEF"
	sum := sha1.Sum(body)
	dst = protowire.AppendTag(dst, fieldBodyDigest, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(2+sizeText(2*sha1.Size)))
	dst = appendVarint(dst, fieldDigestType, uint64(pb.DigestType_SHA1))
	dst = protowire.AppendTag(dst, fieldDigestChecksum, protowire.BytesType)
	dst = protowire.AppendVarint(dst, 2*sha1.Size)
	for _, b := range sum {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// appendTime appends a timestamp of Unix milliseconds.
func appendTime(dst []byte, number protowire.Number, ms int64) []byte {
	t := time.UnixMilli(ms)
	seconds, nanos := uint64(t.Unix()), uint64(t.Nanosecond())
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(2+protowire.SizeVarint(seconds)+protowire.SizeVarint(nanos)))
	dst = appendVarint(dst, fieldSeconds, seconds)
	return appendVarint(dst, fieldNanos, nanos)
}

// appendHost appends the text of an address, nothing if there is none.
func appendHost(dst []byte, number protowire.Number, host netip.AddrPort, text func([]byte) []byte) []byte {
	if !host.IsValid() || host.Addr().IsUnspecified() {
		return dst
	}
	var buffer [64]byte
	return appendBytes(dst, number, text(buffer[:0]))
}

// inflate returns the plain body of one that a producer compressed, in gzip's or zlib's clothes. It
// reports false if the body is not what it says, or becomes too large: then it is delivered as it came.
func inflate(body []byte) ([]byte, bool) {
	var r io.ReadCloser
	var err error
	if len(body) > 1 && body[0] == 0x1f && body[1] == 0x8b {
		r, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		r, err = zlib.NewReader(bytes.NewReader(body))
	}
	if err != nil {
		return nil, false
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err := r.Close(); err != nil {
		return nil, false
	}
	return plain, err == nil && len(plain) <= maxInflated
}
