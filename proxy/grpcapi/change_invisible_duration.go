package grpcapi

import (
	"context"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// maxInvisible bounds how long a message can be invisible.
const maxInvisible = 12 * time.Hour

// ChangeInvisibleDuration moves the time at which a delivery ends, 0 for at once: a push consumer's "failed, later".
// The handle that it returns and the one that it was given are both good from then on. A failed push
// delivery to a Node client waits at least as long as the group's policy says: that client takes the
// seconds of its back-off for milliseconds and would use up all attempts at once.
func (s *Server) ChangeInvisibleDuration(ctx context.Context, req *pb.ChangeInvisibleDurationRequest) (*pb.ChangeInvisibleDurationResponse, error) {
	h, err := s.changeInvisibleDuration(ctx, req)
	answer := &pb.ChangeInvisibleDurationResponse{Status: s.answer("ChangeInvisibleDuration", err), ReceiptHandle: req.GetReceiptHandle()}
	if err == nil {
		answer.ReceiptHandle = h.String()
	}
	return answer, nil
}

func (s *Server) changeInvisibleDuration(ctx context.Context, req *pb.ChangeInvisibleDurationRequest) (storelayer.Handle, error) {
	client, err := clientID(ctx)
	if err != nil {
		return storelayer.Handle{}, err
	}
	if _, err := topicName(ctx, req.GetTopic()); err != nil {
		return storelayer.Handle{}, err
	}
	group, err := groupName(ctx, req.GetGroup())
	if err != nil {
		return storelayer.Handle{}, err
	}
	invisible := req.GetInvisibleDuration().AsDuration()
	if err := req.GetInvisibleDuration().CheckValid(); req.InvisibleDuration != nil && err != nil || invisible < 0 || invisible > maxInvisible {
		return storelayer.Handle{}, refuse(pb.Code_ILLEGAL_INVISIBLE_TIME, "invisible duration is outside 0 to 12 hours")
	}
	h, err := parseHandle(req.GetReceiptHandle(), group)
	if err != nil {
		return storelayer.Handle{}, err
	}
	if known, ok := s.proxy.Sessions().Get(client); ok && known.Kind == proxy.PushConsumer && known.Language == languageNode {
		if group, err := s.group(ctx, req.GetGroup()); err == nil {
			invisible = max(invisible, min(group.Delay(int(h.Attempt)), maxInvisible))
		}
	}
	return s.proxy.Change(ctx, h, invisible, req.GetSuspend())
}
