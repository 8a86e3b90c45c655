package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stratamq/stratamq/tiering"
)

// Verdict says what follows from a finding.
type Verdict int

// The verdicts.
const (
	Holds    Verdict = iota // as wanted
	Degraded                // less than wanted: the broker is more careful, and it costs something
	Refused                 // the store cannot be used
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Holds:
		return "holds"
	case Degraded:
		return "degraded"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("verdict-%d", int(v))
	}
}

// Finding is what one check saw.
type Finding struct {
	Check   string // "ranges", "conditional put", …
	Verdict Verdict
	Text    string // one sentence: what was seen and what follows
}

// String returns the finding as one line.
func (f Finding) String() string { return f.Check + " " + f.Verdict.String() + ": " + f.Text }

// Report is the result of a probe.
type Report struct {
	Capabilities tiering.Capabilities
	Findings     []Finding // in the order of the checks
}

// String returns the findings, one per line.
func (r Report) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// RefusedError says why a store cannot be used.
type RefusedError struct {
	Store    string
	Findings []Finding // the refused ones, at least one
}

// Error gives the sentences.
func (e *RefusedError) Error() string {
	texts := make([]string, 0, len(e.Findings))
	for _, f := range e.Findings {
		texts = append(texts, f.Text)
	}
	return fmt.Sprintf("object store %s is refused: %s", e.Store, strings.Join(texts, "; "))
}

const (
	cleanupTimeout = 10 * time.Second
	bodyLen        = 100_003 // bytes; no multiple of anything a server might round to
	racers         = 4
)

// probe is one run.
type probe struct {
	store  tiering.ObjectStore
	prefix string // of all its keys, unique to the run
	body   []byte // random, so that no other bytes can be taken for it
	report Report
}

// Run probes the store. Its error is a [*RefusedError], whose report is complete, or wraps the sentinel of a call that
// failed: nothing is known then.
func Run(ctx context.Context, store tiering.ObjectStore) (Report, error) {
	p := &probe{store: store, prefix: "probe/" + strings.ToLower(rand.Text()) + "/", body: make([]byte, bodyLen)}
	_, _ = rand.Read(p.body) // never fails
	for i := 1; i < len(p.body); i++ {
		if p.body[i] == p.body[i-1] { // a range that is off by one byte must show, also one of a single byte
			p.body[i]++
		}
	}
	err := p.run(ctx)
	if cleanupErr := p.cleanup(ctx); err == nil && cleanupErr != nil {
		err = fmt.Errorf("remove what was probed: %w", cleanupErr)
	}
	if err != nil {
		return Report{}, fmt.Errorf("probe object store %s: %w", store, err)
	}
	var refused []Finding
	for _, f := range p.report.Findings {
		if f.Verdict == Refused {
			refused = append(refused, f)
		}
	}
	if len(refused) > 0 {
		return p.report, &RefusedError{Store: store.String(), Findings: refused}
	}
	return p.report, nil
}

func (p *probe) run(ctx context.Context) error {
	for _, check := range []func(context.Context) (Finding, error){
		p.ranges, p.conditionalPut, p.conditionalComplete, p.checksumVerified, p.checksumReturned, p.listAfterPut,
	} {
		finding, err := check(ctx)
		if err != nil {
			return err
		}
		p.report.Findings = append(p.report.Findings, finding)
		if finding.Verdict == Refused {
			return nil // what else it can do does not matter
		}
	}
	return nil
}

// The objects of a run.
const (
	keyRanges    = "ranges"
	keyTaken     = "taken"
	keyRace      = "race"
	keyComplete  = "complete"
	keyWrong     = "wrong-checksum"
	keyWrongPart = "wrong-checksum-of-parts"
	keyListed    = "listed"
)

// cleanup removes every object that a run may have left, without trust in lists, and even if ctx has ended.
func (p *probe) cleanup(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	var errs []error
	for _, name := range []string{keyRanges, keyTaken, keyRace, keyComplete, keyWrong, keyWrongPart, keyListed} {
		errs = append(errs, p.store.Delete(ctx, p.prefix+name))
	}
	return errors.Join(errs...)
}

func (p *probe) put(ctx context.Context, name string, body []byte, opts tiering.PutOptions) error {
	return p.store.Put(ctx, p.prefix+name, bytes.NewReader(body), int64(len(body)), opts)
}
