package grpcapi

import (
	"context"
	"errors"
	"io"
	"time"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/proxy"
)

// Telemetry is the stream on which a client says what it is and hears what it is to be. Every Settings
// gets one answer. What a client does later does not depend on the stream: it may end, or never have
// been opened, and the client is served all the same. Unlike by the Java server, settings that cannot be
// accepted are refused inside the stream, which goes on.
func (s *Server) Telemetry(stream pb.MessagingService_TelemetryServer) error {
	// There is a client that waits for the headers before it sends anything.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	commands := make(chan *pb.TelemetryCommand)
	received := make(chan error, 1)
	go func() { // ends when the stream's context does, which is when this function returns at the latest
		for {
			command, err := stream.Recv()
			if err != nil {
				received <- err
				return
			}
			select {
			case commands <- command:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case <-s.proxy.Draining():
			return nil
		case err := <-received:
			if errors.Is(err, io.EOF) {
				return nil // a half-closed stream has said all it had to say
			}
			return err
		case command := <-commands:
			settings := command.GetSettings()
			if settings == nil {
				continue // an answer to a command; none that we send needs one
			}
			merged, err := s.settings(stream.Context(), settings)
			answer := &pb.TelemetryCommand{
				Status:  s.answer("Telemetry", err),
				Command: &pb.TelemetryCommand_Settings{Settings: merged},
			}
			if err := stream.Send(answer); err != nil {
				return err
			}
		}
	}
}

// settings notes what a client says of itself and returns what it is to be. With an error that is the
// client's own settings, because every frame must carry a command.
func (s *Server) settings(ctx context.Context, asked *pb.Settings) (*pb.Settings, error) {
	id, err := clientID(ctx)
	if err != nil {
		return asked, err
	}
	if err := checkClientProperties(asked.GetClientProperties()); err != nil {
		return asked, err
	}
	client := proxy.Client{
		ID:       id,
		Kind:     clientKind(asked.GetClientType()),
		Language: languageOf(ctx, asked.GetUserAgent()),
		Protocol: protocol,
	}
	var merged *pb.Settings
	switch {
	case asked.GetPublishing() != nil && client.Kind == proxy.Producer:
		merged = s.producerSettings(asked)
	case asked.GetSubscription() != nil && client.Kind != proxy.Producer && client.Kind != proxy.UnknownClient:
		group, err := s.group(ctx, asked.GetSubscription().GetGroup())
		if err != nil {
			return asked, err
		}
		client.Group = group.Name
		merged = s.consumerSettings(asked, group, client)
	default:
		return asked, refuse(pb.Code_UNRECOGNIZED_CLIENT_TYPE, "settings are neither a producer's publishing nor a consumer's subscription")
	}
	if !s.proxy.Sessions().Put(client, time.Now()) {
		s.log.Warn("no room for one more client, it is served with defaults", "language", client.Language)
	}
	return merged, nil
}

// languageOf returns a client's language as the protocol's enum spells it: what its settings say, else
// the header.
func languageOf(ctx context.Context, ua *pb.UA) string {
	if language := ua.GetLanguage(); language != pb.Language_LANGUAGE_UNSPECIFIED {
		return language.String()
	}
	return header(ctx, headerLanguage)
}
