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
	firstProbeTimeout = 5 * time.Second
	probePause        = 15 * time.Second // between tries while the object store does not answer
)

// openObjects opens the object store and probes it. A store that is found unfit is refused here; one that
// does not answer yet is no reason not to start: what it owes is collected until it does.
func openObjects(ctx context.Context, url string, log *slog.Logger) (tiering.ObjectStore, *probe.Report, error) {
	location, err := tiering.ParseURL(url)
	if err != nil {
		return nil, nil, err
	}
	store, err := drivers.Open(ctx, location, drivers.DefaultConfig())
	if err != nil {
		return nil, nil, fmt.Errorf("object store: %w", err)
	}
	probing, cancel := context.WithTimeout(ctx, firstProbeTimeout)
	defer cancel()
	report, err := probe.Run(probing, store)
	if _, refused := errors.AsType[*probe.RefusedError](err); refused || errors.Is(err, tiering.ErrNoBucket) || errors.Is(err, tiering.ErrDenied) {
		return nil, nil, errors.Join(err, store.Close())
	}
	if err != nil {
		log.Error("object store does not answer, sealed segments wait for it", "store", store.String(), "err", err)
		return store, nil, nil
	}
	logProbe(log, store, report)
	return store, &report, nil
}

// probeUntil probes a store that did not answer at the start, until it does.
func probeUntil(ctx context.Context, store tiering.ObjectStore, log *slog.Logger) (probe.Report, error) {
	timer := time.NewTimer(probePause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return probe.Report{}, context.Cause(ctx)
		case <-timer.C:
		}
		report, err := probe.Run(ctx, store)
		if err == nil {
			logProbe(log, store, report)
			return report, nil
		}
		if _, refused := errors.AsType[*probe.RefusedError](err); refused {
			return probe.Report{}, err
		}
		log.Error("object store does not answer, sealed segments wait for it", "store", store.String(), "err", err)
		timer.Reset(probePause)
	}
}

func logProbe(log *slog.Logger, store tiering.ObjectStore, report probe.Report) {
	for _, f := range report.Findings {
		if f.Verdict == probe.Degraded {
			log.Warn("object store guarantees less than wanted", "store", store.String(), "check", f.Check, "finding", f.Text)
		}
	}
}
