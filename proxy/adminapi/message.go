package adminapi

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
)

// physicalPositionBits is how much of a log position a stored message carries.
const physicalPositionBits = 47

// showMessage shows a stored message; the result shares no memory with it.
func showMessage(m message.Located, cold, omitBody bool) (*adminv1.Message, error) {
	decoded, err := message.DecodeStored(m.Stored)
	if err != nil {
		return nil, err
	}
	out := &adminv1.Message{
		Topic:      decoded.Topic,
		Queue:      uint32(m.Queue.ID),
		Offset:     int64(m.Offset),
		BornTime:   timestamppb.New(time.UnixMilli(decoded.BornTime)),
		StoreTime:  timestamppb.New(time.UnixMilli(decoded.StoreTime)),
		Shard:      uint32(decoded.PhysicalOffset >> physicalPositionBits),
		Position:   uint64(decoded.PhysicalOffset) & (1<<physicalPositionBits - 1),
		Cold:       cold,
		Properties: map[string]string{},
	}
	if decoded.BornHost.IsValid() && !decoded.BornHost.Addr().IsUnspecified() {
		out.BornHost = decoded.BornHost.String()
	}
	if !omitBody {
		out.Body = append([]byte(nil), decoded.Body...)
	}
	for key, value := range message.EachProperty(decoded.Properties) {
		text := strings.ToValidUTF8(string(value), "\uFFFD")
		switch string(key) {
		case message.PropertyMessageID:
			out.MessageId = text
		case message.PropertyTag:
			out.Tag = text
		case message.PropertyKeys:
			out.Keys = strings.Fields(text)
		case message.PropertyMessageGroup:
			out.MessageGroup = text
		case message.PropertyBornHost:
			out.BornHost = text
		default:
			if !message.IsReservedProperty(key) {
				out.Properties[strings.ToValidUTF8(string(key), "\uFFFD")] = text
			}
		}
	}
	return out, nil
}
