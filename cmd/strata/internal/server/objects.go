package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/drivers"
	"github.com/stratamq/stratamq/tiering/probe"
)

const (
	// startProbe is how long a start waits for the probe: a store that answers is through by then, and one
	// that is found unfit must be refused before a client is served. One that does not answer is no reason
	// not to start: what it owes is collected until it does.
	startProbe = 2 * time.Second

	probePause = 15 * time.Second // between tries while the object store does not answer
	probeStop  = time.Second      // how long a stop waits for a probe that is under way
)

// bucketProbe is the probe of an object store, in the background.
type bucketProbe struct {
	store  *lateStore
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{} // closed once report and err are there
	report probe.Report
	err    error
}

// openObjects begins to open the object store and to probe it. A folder is opened before it returns: what
// is wrong with it is not going to pass.
func openObjects(ctx context.Context, url string, log *slog.Logger) (*bucketProbe, error) {
	location, err := tiering.ParseURL(url)
	if err != nil {
		return nil, err
	}
	p := &bucketProbe{store: &lateStore{location: location}, log: log, done: make(chan struct{})}
	if location.Scheme == tiering.SchemeFile {
		if err := p.open(ctx); err != nil {
			return nil, fmt.Errorf("object store: %w", err)
		}
	}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(p.done)
		p.report, p.err = p.untilAnswer(ctx)
	}()
	return p, nil
}

// open opens the store unless it is open already.
func (p *bucketProbe) open(ctx context.Context) error {
	if p.store.opened.Load() != nil {
		return nil
	}
	store, err := drivers.Open(ctx, p.store.location, drivers.DefaultConfig())
	if err != nil {
		return err
	}
	p.store.open(store)
	return nil
}

// untilAnswer opens and probes the store, again and again while it does not answer.
func (p *bucketProbe) untilAnswer(ctx context.Context) (probe.Report, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return probe.Report{}, context.Cause(ctx)
		case <-timer.C:
		}
		report, err := p.once(ctx)
		if err == nil || unfit(err) || ctx.Err() != nil {
			return report, err
		}
		p.log.Error("object store does not answer, sealed segments wait for it", "store", p.store.String(), "err", err)
		timer.Reset(probePause)
	}
}

func (p *bucketProbe) once(ctx context.Context) (probe.Report, error) {
	if err := p.open(ctx); err != nil {
		return probe.Report{}, fmt.Errorf("object store: %w", err)
	}
	report, err := probe.Run(ctx, p.store)
	if err != nil {
		return probe.Report{}, err
	}
	for _, f := range report.Findings {
		if f.Verdict == probe.Degraded {
			p.log.Warn("object store guarantees less than wanted", "store", p.store.String(), "check", f.Check, "finding", f.Text)
		}
	}
	return report, nil
}

// unfit reports whether an error says that asking again is of no use.
func unfit(err error) bool {
	_, refused := errors.AsType[*probe.RefusedError](err)
	return refused || errors.Is(err, tiering.ErrNoBucket) || errors.Is(err, tiering.ErrDenied) || errors.Is(err, tiering.ErrInvalidURL)
}

// wait returns the report once it is there.
func (p *bucketProbe) wait(ctx context.Context) (probe.Report, error) {
	select {
	case <-p.done:
		return p.report, p.err
	case <-ctx.Done():
		return probe.Report{}, context.Cause(ctx)
	}
}

// close ends the probe and closes the store. A probe that is cleaning up on a store that no longer answers
// is not waited for: what it leaves are a few small objects under a prefix of their own.
func (p *bucketProbe) close() error {
	p.cancel()
	timer := time.NewTimer(probeStop)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	}
	return p.store.Close()
}

// waitProbe gives the probe of the object store the time that a start has for it.
func (s *Server) waitProbe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startProbe)
	defer cancel()
	if _, err := s.probe.wait(ctx); err != nil && unfit(err) {
		return err
	}
	return nil
}
