package server

import (
	"context"
	"time"
)

// How long each part may take to stop in peace; together they stay below the 5 s that a stop may last,
// with what the shard needs to write and sync what it has admitted.
const (
	drainGRPC = 2 * time.Second
	drainHTTP = 500 * time.Millisecond
)

// Run serves until ctx ends, then stops everything in order. It returns an error if a part failed.
func (s *Server) Run(ctx context.Context) error {
	loaded := make(chan struct{})
	parts := []*part{
		{name: partMeta, run: s.catalog.Run},
		{name: partShard, run: s.shard.Run},
		{name: partObjectStore, run: s.runObjects},
		{name: partProxy, run: s.proxy.Run},
		{name: "deletions", run: s.admin.Run},
		{name: "grpc", run: func(ctx context.Context) error { return s.runGRPC(ctx, loaded) }, drain: s.drainGRPC, timeout: drainGRPC},
		{name: "http", run: func(context.Context) error { return serveHTTP(s.http, s.httpAt) }, drain: s.drainHTTP, timeout: drainHTTP},
		{name: "readiness", run: func(ctx context.Context) error { return s.watchReadiness(ctx, loaded) }},
	}
	return runParts(ctx, parts, func(failure error) {
		reason := "stopping"
		if failure != nil {
			reason = failure.Error()
			s.log.Error("a part failed, everything stops", "err", failure)
		} else {
			s.log.Info("stopping")
		}
		for _, name := range []string{partMeta, partShard, partObjectStore, partProxy} {
			s.health.set(name, reason)
		}
	})
}

// runGRPC serves clients once every topic is in memory: before that, one that exists would be unknown.
func (s *Server) runGRPC(ctx context.Context, loaded <-chan struct{}) error {
	select {
	case <-loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.health.set(partProxy, "")
	return s.grpc.Serve(ctx, s.grpcAt)
}

func (s *Server) drainGRPC(ctx context.Context) {
	if err := s.grpc.Drain(ctx); err != nil {
		s.log.Warn("not every call ended in time", "err", err)
	}
}

func (s *Server) drainHTTP(ctx context.Context) {
	s.stopHTTP()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("not every request ended in time", "err", err)
		_ = s.http.Close() // the listener is closed by now; connections have no error to tell
	}
}

// watchReadiness notes when the parts have become ready.
func (s *Server) watchReadiness(ctx context.Context, loaded chan<- struct{}) error {
	s.health.set(partShard, "")
	select {
	case <-s.catalog.Ready():
		s.health.set(partMeta, s.findLostTopics(ctx))
		close(loaded)
	case <-ctx.Done():
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// wakeOffloader says that a segment became full, if there is somebody to hear it.
func (s *Server) wakeOffloader() {
	if o := s.offloader.Load(); o != nil {
		o.Wake()
	}
}

// runObjects seals what the shard has filled, once the object store has shown what it guarantees.
func (s *Server) runObjects(ctx context.Context) error {
	s.health.set(partObjectStore, "the object store has not answered yet")
	report, err := s.probe.wait(ctx)
	if err != nil {
		return err
	}
	s.health.set(partObjectStore, "")
	offloader, err := s.newOffloader(s.objects, report.Capabilities, s.meta)
	if err != nil {
		return err
	}
	s.offloader.Store(offloader)
	return offloader.Run(ctx)
}
