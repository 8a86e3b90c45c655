package commitlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stratamq/stratamq/internal/vfs/memfs"
	"github.com/stratamq/stratamq/message"
)

// crashStates is how many random histories a run of the test has; STRATA_CRASH_STATES sets another number.
const crashStates = 5000

// TestCrashStates runs random histories into a power cut, a kill or a disk error at a random call
// and checks what the next start finds, crashing during recovery as well. STRATA_CRASH_SEED runs
// one history alone.
func TestCrashStates(t *testing.T) {
	first, n := uint64(1), uint64(crashStates)
	if testing.Short() {
		n = 500
	}
	if s := os.Getenv("STRATA_CRASH_STATES"); s != "" {
		v, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		n = v
	}
	if s := os.Getenv("STRATA_CRASH_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	var total crashTotals
	var next atomic.Uint64
	next.Store(first)
	var wg sync.WaitGroup
	var failed atomic.Bool
	for range 4 {
		wg.Go(func() {
			for seed := next.Add(1) - 1; seed < first+n && !failed.Load(); seed = next.Add(1) - 1 {
				if err := runHistory(t.Context(), seed, &total); err != nil {
					failed.Store(true)
					t.Errorf("seed %d: %v\nagain: STRATA_CRASH_SEED=%d go test -run TestCrashStates ./storelayer/commitlog", seed, err, seed)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d histories: %d starts, %d power cuts, %d kills, %d disk errors, %d acknowledged, %d unknown and back, %d unknown and gone, %d torn tails, %d trims, lost %d",
		n, total.starts.Load(), total.cuts.Load(), total.kills.Load(), total.errors.Load(), total.acked.Load(),
		total.back.Load(), total.gone.Load(), total.torn.Load(), total.trims.Load(), total.lost.Load())
	if n >= 500 && (total.torn.Load() == 0 || total.back.Load() == 0 || total.gone.Load() == 0 || total.trims.Load() == 0) {
		t.Error("the histories never met one of the cases that they are for")
	}
}

type crashTotals struct {
	starts, cuts, kills, errors, acked, back, gone, torn, trims, lost atomic.Int64
}

// sent is one record of a history and what is known of it.
type sent struct {
	at    message.Position
	size  int
	acked bool // its append was answered durable
	seen  bool // a reader has had it
}

// history is the model: what was sent and acknowledged, against which each start is checked.
type history struct {
	rng    *rand.Rand
	fs     *memfs.FS
	total  *crashTotals
	seed   uint64
	epoch  message.Epoch
	made   bool             // an Open has returned, so the log exists
	first  message.Position // all below was trimmed, durably
	maybe  message.Position // or was being trimmed
	killed bool             // the last end was a kill, not a power cut

	mu   sync.Mutex
	sent map[uint64]*sent
	next uint64
}

func runHistory(ctx context.Context, seed uint64, total *crashTotals) error {
	h := &history{
		rng: rand.New(rand.NewPCG(seed, 2)), fs: memfs.New(seed), total: total, seed: seed, sent: make(map[uint64]*sent),
	}
	for range 1 + h.rng.IntN(3) {
		if err := h.life(ctx); err != nil {
			return err
		}
		if err := h.end(); err != nil {
			return err
		}
	}
	h.fs.SetHook(nil)
	l, err := h.open(ctx)
	if err != nil {
		return fmt.Errorf("last open: %w", err)
	}
	return errors.Join(h.check(ctx, l), l.Close())
}

// end is a power cut or a kill.
func (h *history) end() error {
	h.fs.SetHook(nil)
	h.killed = h.rng.IntN(3) == 0
	if h.killed {
		h.total.kills.Add(1)
		h.fs = h.fs.Restart()
		return nil
	}
	h.total.cuts.Add(1)
	keep := memfs.KeepRandom
	if h.rng.IntN(4) == 0 {
		keep = memfs.KeepNone
	}
	h.fs = h.fs.Crash(h.rng.Uint64(), memfs.CrashOptions{Keep: keep})
	return nil
}

// trouble stops the machine, or makes one call fail, at a random one of the calls to come.
func (h *history) trouble(calls int) {
	var n atomic.Int64
	at := int64(h.rng.IntN(calls))
	kind := h.rng.IntN(6)
	fs := h.fs
	fs.SetHook(func(op memfs.Op) memfs.Fault {
		if !op.Kind.Changes() || n.Add(1) != at {
			return memfs.Fault{}
		}
		switch kind {
		case 0:
			h.total.errors.Add(1)
			return memfs.Fault{Err: memfs.ErrInjected}
		case 1:
			h.total.errors.Add(1)
			return memfs.Fault{Err: memfs.ErrInjected, Effect: true}
		case 2:
			if op.Kind == memfs.OpWrite {
				h.total.errors.Add(1)
				return memfs.Fault{Err: memfs.ErrInjected, Short: op.Len / 3}
			}
		}
		fs.Stop()
		return memfs.Fault{}
	})
}

func (h *history) open(ctx context.Context) (*Log, error) {
	opts := testOptions(h.fs, h.rng.Uint64())
	opts.SegmentSize = []int64{64 << 10, 128 << 10, 512 << 10}[h.seed%3]
	opts.FillChunk = []int64{8 << 10, 32 << 10}[h.seed%2]
	opts.Create = !h.made
	opts.Events.Recovered = func(r Recovery) {
		if r.Cut > 0 {
			h.total.torn.Add(1)
		}
	}
	h.total.starts.Add(1)
	return Open(ctx, opts)
}

// life is one process: it opens, crashing there now and then, appends from several goroutines, and
// is left as it is.
func (h *history) life(ctx context.Context) error {
	for tries := 0; ; tries++ {
		if tries < 3 && h.rng.IntN(3) == 0 {
			h.trouble(12)
		}
		l, err := h.open(ctx)
		if err == nil {
			h.fs.SetHook(nil)
			if !h.fs.Stopped() {
				return h.work(ctx, l)
			}
			_ = l.Close() // the trouble came with the last call
		}
		if damage, ok := errors.AsType[*DamageError](err); ok {
			return fmt.Errorf("start %d: %w", tries, damage)
		}
		if err != nil && !errors.Is(err, memfs.ErrCrashed) && !errors.Is(err, memfs.ErrInjected) {
			return fmt.Errorf("start %d: %w", tries, err)
		}
		if err := h.end(); err != nil {
			return err
		}
	}
}

func (h *history) work(ctx context.Context, l *Log) error {
	h.made = true
	defer func() { _ = l.Close() }()
	if err := h.check(ctx, l); err != nil {
		return err
	}
	if h.rng.IntN(4) == 0 {
		h.fs.Stop() // readers have had what Open served, and nothing was synced since
		return nil
	}
	h.trouble([]int{20, 60, 200}[h.rng.IntN(3)])
	h.epoch++
	if err := l.Start(ctx, h.epoch, nil); err != nil {
		return ours(err)
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	result := make(chan error, 1)
	go func() { result <- l.Run(runCtx) }()

	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 1 + h.rng.IntN(4) {
		seed := h.rng.Uint64()
		wg.Go(func() { errs <- h.produce(ctx, l, rand.New(rand.NewPCG(seed, 3))) })
	}
	if h.rng.IntN(3) == 0 {
		l.Roll()
		wg.Go(func() { errs <- h.trim(ctx, l) })
	}
	wg.Wait()
	close(errs)
	if h.rng.IntN(2) == 0 {
		h.fs.Stop() // an end in which nothing is tidied up; else Run writes a last frame
	}
	stop()
	if err := <-result; err != nil && ours(err) != nil {
		return err
	}
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ours passes errors that no fault explains.
func ours(err error) error {
	if errors.Is(err, memfs.ErrCrashed) || errors.Is(err, memfs.ErrInjected) || errors.Is(err, ErrFenced) {
		return nil
	}
	return err
}

// produce appends until something fails, and notes what is known of each record.
func (h *history) produce(ctx context.Context, l *Log, rng *rand.Rand) error {
	for range 3 + rng.IntN(15) {
		b := &numberedBatch{h: h}
		for range 1 + rng.IntN(3) {
			b.sizes = append(b.sizes, []int{8, 100, 3000, 20000, 90000}[min(rng.IntN(5), rng.IntN(6))])
		}
		ack := AckDurable
		if rng.IntN(4) == 0 {
			ack = AckLocal
		}
		err := l.Append(ctx, b, ack)
		if err != nil {
			return ours(err)
		}
		h.mu.Lock()
		for _, n := range b.numbers {
			h.sent[n].acked = ack == AckDurable
		}
		h.mu.Unlock()
		if ack == AckDurable {
			h.total.acked.Add(int64(len(b.numbers)))
		}
	}
	return nil
}

// numberedBatch numbers its records when they get their positions.
type numberedBatch struct {
	h       *history
	sizes   []int
	numbers []uint64
}

func (b *numberedBatch) Size() int {
	n := 0
	for _, s := range b.sizes {
		n += message.EnvelopeLen + s
	}
	return n
}

func (b *numberedBatch) AppendTo(dst []byte, at message.Position, _ int64) ([]byte, int) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	for _, size := range b.sizes {
		n := b.h.next
		b.h.next++
		r := message.Record{Type: message.RecordMessage, Topic: 9, Body: numbered(n, size)}
		b.h.sent[n] = &sent{at: at, size: size}
		b.numbers = append(b.numbers, n)
		before := len(dst)
		dst = r.AppendTo(dst)
		at += message.Position(len(dst) - before)
	}
	return dst, len(b.sizes)
}

func (h *history) trim(ctx context.Context, l *Log) error {
	segments := l.Segments()
	if len(segments) < 2 {
		return nil
	}
	upTo := segments[len(segments)/2].Base
	h.mu.Lock()
	h.maybe = max(h.maybe, upTo)
	h.mu.Unlock()
	if err := l.Trim(ctx, upTo); err != nil {
		return ours(err)
	}
	h.total.trims.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.first = max(h.first, upTo)
	return nil
}

// check compares what a start found with what is known: everything acknowledged or ever read is
// there, where it was, and nothing else than what was sent.
func (h *history) check(ctx context.Context, l *Log) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	base := l.Segments()[0].Base
	if base > h.maybe && base > 0 {
		return fmt.Errorf("log begins at %d, trimmed was %d", base, h.maybe)
	}
	h.first = max(h.first, base)
	found := make(map[uint64]bool)
	var epochs []message.Epoch
	err := l.Frames(ctx, base, l.Watermark(), func(f Frame) error {
		epochs = append(epochs, f.Epoch)
		return f.All(func(at message.Position, r message.Record, _ int) error {
			n, err := checkNumbered(r.Body)
			if err != nil {
				return err
			}
			s := h.sent[n]
			if s == nil || s.at != at || max(s.size, 8) != len(r.Body) {
				return fmt.Errorf("record %d of %d bytes at %d was never sent like that: %+v", n, len(r.Body), at, s)
			}
			if found[n] {
				return fmt.Errorf("record %d is there twice", n)
			}
			found[n] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	if !slices.IsSorted(epochs) || len(epochs) > 0 && epochs[len(epochs)-1] > h.epoch {
		return fmt.Errorf("epochs %v after %d", epochs, h.epoch)
	}
	for n, s := range h.sent {
		switch {
		case found[n]:
			if !s.acked && !s.seen {
				h.total.back.Add(1)
			}
			s.seen = true // whoever reads this log now has had it
		case s.at < h.first:
		case s.acked || s.seen:
			h.total.lost.Add(1)
			return fmt.Errorf("record %d at %d is lost: acknowledged %v, read before %v; the log is [%d, %d)", n, s.at, s.acked, s.seen, base, l.Watermark())
		default:
			h.total.gone.Add(1)
			delete(h.sent, n)
		}
	}
	return nil
}
