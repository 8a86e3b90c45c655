package adminapi

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
)

// Bounds of a message, those of every other producer.
const (
	maxBody           = 4 << 20 // bytes
	maxProperties     = 128
	maxPropertiesSize = 16 << 10 // bytes of property keys and values, tag and keys
)

// SendMessage publishes one NORMAL message.
func (s *Service) SendMessage(ctx context.Context, req *adminv1.SendMessageRequest) (*adminv1.SendMessageResponse, error) {
	topic, err := s.topic(ctx, req.GetTopic())
	if err != nil {
		return nil, err
	}
	if topic.Type != meta.TypeNormal {
		return nil, notYet("sending to topics of type %s", topic.Type)
	}
	if err := checkSend(req); err != nil {
		return nil, err
	}
	id := s.ids.Next()
	properties, err := joinProperties(req, id)
	if err != nil {
		return nil, err
	}
	messages := []message.Message{{
		Topic:      topic.Name,
		Body:       req.GetBody(),
		BodyCRC:    message.BodyCRC(req.GetBody()),
		BornTime:   time.Now().UnixMilli(),
		Properties: properties,
	}}
	if err := messages[0].Check(); err != nil {
		return nil, err
	}
	appended, err := s.proxy.Send(ctx, topic, proxy.AnyQueue, messages)
	if err != nil {
		return nil, err
	}
	offset := int64(appended[0].Offset)
	return &adminv1.SendMessageResponse{MessageId: id, Queue: uint32(messages[0].Queue.ID), Offset: &offset}, nil
}

func checkSend(req *adminv1.SendMessageRequest) error {
	if req.GetKind() != nil {
		return notYet("a topic of type NORMAL takes no message group, delivery time or priority, and there are no other topics")
	}
	if n := len(req.GetBody()); n == 0 || n > maxBody {
		return invalid("body: %d bytes, want 1 to %d", n, maxBody)
	}
	if n := len(req.GetProperties()); n > maxProperties {
		return invalid("properties: %d, at most %d", n, maxProperties)
	}
	size := len(req.GetTag())
	if tag := req.GetTag(); strings.ContainsRune(tag, '|') || hasControl(tag) || tag != "" && strings.TrimSpace(tag) == "" {
		return invalid("tag: %q has a vertical bar or a control character, or only white space", tag)
	}
	for _, key := range req.GetKeys() {
		if size += len(key); strings.TrimSpace(key) == "" || strings.ContainsRune(key, ' ') || hasControl(key) {
			return invalid("keys: %q is blank or has a space or a control character", key)
		}
	}
	for key, value := range req.GetProperties() {
		size += len(key) + len(value)
		if key == "" || message.IsReservedProperty(key) || hasControl(key) || hasControl(value) {
			return invalid("properties: %q is empty or reserved, or has a control character in it or in its value", key)
		}
	}
	if size > maxPropertiesSize {
		return invalid("properties, tag and keys: %d bytes, at most %d", size, maxPropertiesSize)
	}
	return nil
}

// joinProperties returns the properties as they are stored, the user's in the order of their keys.
func joinProperties(req *adminv1.SendMessageRequest, id string) ([]byte, error) {
	dst, err := message.AppendProperty(nil, message.PropertyMessageID, id)
	if tag := req.GetTag(); tag != "" && err == nil {
		dst, err = message.AppendProperty(dst, message.PropertyTag, tag)
	}
	if keys := req.GetKeys(); len(keys) > 0 && err == nil {
		dst, err = message.AppendProperty(dst, message.PropertyKeys, strings.Join(keys, " "))
	}
	for _, key := range slices.Sorted(maps.Keys(req.GetProperties())) {
		if err == nil {
			dst, err = message.AppendProperty(dst, key, req.GetProperties()[key])
		}
	}
	return dst, err
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }
