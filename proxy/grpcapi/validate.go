package grpcapi

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
)

// Bounds of a message.
const (
	maxPropertiesSize = 16 << 10 // bytes of property keys and values, tag and keys
	maxMessageIDLen   = 256      // bytes
	maxBornHostLen    = 256      // bytes
	maxTraceLen       = 2 << 10  // bytes
	maxMessageGroup   = 64       // bytes, exclusive
)

// checkMessage checks everything of a message that a producer says but its topic's name.
func (s *Server) checkMessage(m *SendMessage) error {
	if err := s.checkBody(m); err != nil {
		return err
	}
	if err := checkProperties(m); err != nil {
		return err
	}
	if err := checkLabels(m); err != nil {
		return err
	}
	return checkIdentity(m)
}

func (s *Server) checkBody(m *SendMessage) error {
	switch {
	case len(m.Body) == 0:
		return refuse(pb.Code_MESSAGE_BODY_EMPTY, "message body is empty")
	case len(m.Body) > s.config.MaxBodySize:
		return refuse(pb.Code_MESSAGE_BODY_TOO_LARGE, s.bodyTooLarge)
	}
	switch m.Encoding {
	case pb.Encoding_ENCODING_UNSPECIFIED, pb.Encoding_IDENTITY, pb.Encoding_GZIP:
		return nil
	default:
		return refuse(pb.Code_BAD_REQUEST, "body encoding is not known")
	}
}

// checkProperties checks the user's properties. The scan has bounded their number.
func checkProperties(m *SendMessage) error {
	size := len(m.Tag)
	for _, key := range m.Keys {
		size += len(key)
	}
	for _, p := range m.Properties {
		size += len(p.Key) + len(p.Value)
		switch {
		case len(p.Key) == 0:
			return refuse(pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key is empty")
		case message.IsReservedProperty(p.Key):
			return refuse(pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key is reserved: "+string(p.Key))
		case hasControl(p.Key):
			return refuse(pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property key has a control character")
		case hasControl(p.Value):
			return refuse(pb.Code_ILLEGAL_MESSAGE_PROPERTY_KEY, "property value has a control character")
		}
	}
	if size > maxPropertiesSize {
		return refuse(pb.Code_MESSAGE_PROPERTIES_TOO_LARGE, "user properties, tag and keys are larger than 16384 bytes")
	}
	return nil
}

func checkLabels(m *SendMessage) error {
	switch {
	case blank(m.Tag):
		return refuse(pb.Code_ILLEGAL_MESSAGE_TAG, "tag has only white space")
	case bytes.IndexByte(m.Tag, '|') >= 0:
		return refuse(pb.Code_ILLEGAL_MESSAGE_TAG, "tag has a vertical bar")
	case hasControl(m.Tag):
		return refuse(pb.Code_ILLEGAL_MESSAGE_TAG, "tag has a control character")
	}
	for _, key := range m.Keys {
		switch {
		case blank(key):
			return refuse(pb.Code_ILLEGAL_MESSAGE_KEY, "key has only white space")
		case hasControl(key):
			return refuse(pb.Code_ILLEGAL_MESSAGE_KEY, "key has a control character")
		}
	}
	switch {
	case blank(m.MessageGroup):
		return refuse(pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has only white space")
	case len(m.MessageGroup) >= maxMessageGroup:
		return refuse(pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has 64 bytes or more")
	case hasControl(m.MessageGroup):
		return refuse(pb.Code_ILLEGAL_MESSAGE_GROUP, "message group has a control character")
	}
	return nil
}

// checkIdentity checks what says where a message comes from. The stored form joins these with the user's
// properties by control characters, so none of them may have one.
func checkIdentity(m *SendMessage) error {
	switch {
	case len(bytes.TrimSpace(m.MessageID)) == 0:
		return refuse(pb.Code_ILLEGAL_MESSAGE_ID, "message id is blank")
	case len(m.MessageID) > maxMessageIDLen:
		return refuse(pb.Code_ILLEGAL_MESSAGE_ID, "message id is longer than 256 bytes")
	case hasControl(m.MessageID):
		return refuse(pb.Code_ILLEGAL_MESSAGE_ID, "message id has a control character")
	case len(m.BornHost) > maxBornHostLen:
		return refuse(pb.Code_BAD_REQUEST, "born host is longer than 256 bytes")
	case hasControl(m.BornHost):
		return refuse(pb.Code_BAD_REQUEST, "born host has a control character")
	case len(m.TraceContext) > maxTraceLen:
		return refuse(pb.Code_BAD_REQUEST, "trace context is longer than 2048 bytes")
	case hasControl(m.TraceContext):
		return refuse(pb.Code_BAD_REQUEST, "trace context has a control character")
	}
	return nil
}

// checkType refuses a message that its topic does not take: by what its fields make of it, and by what it
// calls itself. One that does not say is what its fields make of it.
func checkType(topic *meta.Topic, m *SendMessage) error {
	if topic.Type != meta.TypeNormal {
		return refuse(pb.Code_NOT_IMPLEMENTED, "not implemented yet: topics of type "+string(topic.Type))
	}
	actual := pb.MessageType_NORMAL
	switch {
	case m.RecoveryTime.Set:
		actual = pb.MessageType_TRANSACTION
	case m.DeliveryTime.Set:
		actual = pb.MessageType_DELAY
	case len(m.MessageGroup) > 0:
		actual = pb.MessageType_FIFO
	case len(m.LiteTopic) > 0:
		actual = pb.MessageType_LITE
	case m.HasPriority:
		actual = pb.MessageType_PRIORITY
	}
	declared := m.Type
	switch {
	case actual != pb.MessageType_NORMAL:
		return refuse(pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "the topic takes NORMAL messages, the fields make this one "+actual.String())
	case declared != pb.MessageType_NORMAL && declared != pb.MessageType_MESSAGE_TYPE_UNSPECIFIED:
		return refuse(pb.Code_MESSAGE_PROPERTY_CONFLICT_WITH_TYPE, "the topic takes NORMAL messages, this one calls itself "+declared.String())
	}
	return nil
}

// blank reports whether a text has characters, all of them white space.
func blank(text []byte) bool { return len(text) > 0 && len(bytes.TrimSpace(text)) == 0 }

// hasControl reports whether a text has one of the control characters U+0000–001F and U+007F–009F.
func hasControl(text []byte) bool {
	for i, c := range text {
		if c < 0x20 || c == 0x7f {
			return true
		}
		if c >= utf8.RuneSelf {
			return bytes.ContainsFunc(text[i:], unicode.IsControl)
		}
	}
	return false
}
