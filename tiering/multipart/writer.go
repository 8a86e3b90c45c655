// Package multipart uploads an object while it is being written.
//
//	New ──Write…──► parts, several at once ──Complete──► whole, or Abort ──► nothing
//
// A writer holds at most one part more than it uploads at once: whoever writes faster than the bucket takes waits in
// Write. An object that is not longer than a part becomes a single put.
package multipart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stratamq/stratamq/tiering"
)

// Config holds a writer's settings.
type Config struct {
	PartSize    int64 // bytes; a sealed GiB in parts of 24 MiB is 43 puts
	Concurrency int   // parts that are uploaded at once
}

// DefaultConfig holds at most 72 MiB of an object in memory.
func DefaultConfig() Config { return Config{PartSize: 24 << 20, Concurrency: 2} }

// Validate reports everything that is wrong with c, in field order.
func (c Config) Validate() error {
	var errs []error
	if c.PartSize < tiering.MinPartSize || c.PartSize > 1<<30 {
		errs = append(errs, fmt.Errorf("part_size: %d is outside %d to 1 GiB", c.PartSize, tiering.MinPartSize))
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		errs = append(errs, fmt.Errorf("concurrency: %d is outside 1 to 64", c.Concurrency))
	}
	return errors.Join(errs...)
}

// Written describes a completed object.
type Written struct {
	Key    string
	Size   int64 // bytes
	CRC32C uint32
	Puts   int // parts, or 1
}

// Writer is an [io.Writer] that makes one object. It is for one goroutine; Complete or Abort ends it.
type Writer struct {
	key      string
	partSize int

	// Of the caller's goroutine.
	buf    []byte // the part being filled
	parts  int    // handed to the uploaders
	size   int64
	crc    uint32
	ended  bool
	upload tiering.Upload // nil before the first whole part

	put     func(body []byte, opts tiering.PutOptions) error
	create  func() (tiering.Upload, error)
	work    chan part
	free    chan []byte // buffers to fill again
	wg      sync.WaitGroup
	workers int
	stop    context.CancelCauseFunc // ends the uploads with the first error
	failed  func() error            // the first error, or nil
	stopped <-chan struct{}         // closed by stop
	uploads func(tiering.Upload)    // uploads what comes through work
}

type part struct {
	number int
	body   []byte
}

var errEnded = errors.New("the writer has ended")

// New begins the object key. Ctx bounds everything that the writer does until Complete or Abort.
func New(ctx context.Context, store tiering.ObjectStore, key string, config Config) (*Writer, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if err := tiering.ValidateKey(key); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	w := &Writer{
		key:      key,
		partSize: int(config.PartSize),
		work:     make(chan part),
		free:     make(chan []byte, config.Concurrency+1),
		workers:  config.Concurrency,
		stop:     stop,
		failed:   func() error { return context.Cause(ctx) },
		stopped:  ctx.Done(),
	}
	w.put = func(body []byte, opts tiering.PutOptions) error {
		return store.Put(ctx, key, bytes.NewReader(body), int64(len(body)), opts)
	}
	w.create = func() (tiering.Upload, error) { return store.Create(ctx, key, config.PartSize) }
	w.uploads = func(upload tiering.Upload) {
		for p := range w.work {
			if err := upload.Part(ctx, p.number, p.body); err != nil {
				stop(err) // the writer notices at its next part
			}
			w.free <- p.body[:0]
		}
	}
	return w, nil
}

// Size returns how many bytes were written.
func (w *Writer) Size() int64 { return w.size }

// Write adds b to the object. It waits while the uploads are behind. After an error the object can only be aborted.
func (w *Writer) Write(b []byte) (int, error) { return w.WriteSummed(b, tiering.Checksum(b)) }

// WriteSummed is Write for bytes whose CRC32C is known.
func (w *Writer) WriteSummed(b []byte, crc uint32) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	w.crc = tiering.JoinChecksums(w.crc, crc, len(b))
	written := 0
	for len(b) > 0 {
		if len(w.buf) == w.partSize {
			if err := w.flush(); err != nil {
				return written, err
			}
		}
		n := min(len(b), w.partSize-len(w.buf))
		w.grow(n)
		w.buf = append(w.buf, b[:n]...)
		w.size += int64(n)
		written += n
		b = b[n:]
	}
	return written, nil
}

// grow makes room for n bytes in one part. What outgrows a small object will most likely fill the part, and growing step
// by step would copy it several times.
func (w *Writer) grow(n int) {
	if need := len(w.buf) + n; need > cap(w.buf) && (need > smallObject || w.upload != nil) {
		w.buf = append(make([]byte, 0, w.partSize), w.buf...)
	}
}

const smallObject = 1 << 20 // bytes

// flush hands the filled part to the uploaders, which begin with the first one.
func (w *Writer) flush() error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.upload == nil {
		upload, err := w.create()
		if err != nil {
			return err
		}
		w.upload = upload
		for range w.workers {
			w.wg.Go(func() { w.uploads(upload) })
		}
	}
	if w.parts == tiering.MaxParts {
		return fmt.Errorf("%w: more than %d parts of %d bytes", tiering.ErrUnsupported, tiering.MaxParts, w.partSize)
	}
	w.parts++
	select {
	case w.work <- part{number: w.parts, body: w.buf}:
	case <-w.stopped:
		return w.failed()
	}
	w.buf = nil
	select {
	case w.buf = <-w.free:
	default: // append makes a new one; at most one more than there are uploaders
	}
	return nil
}

// Complete uploads the rest and makes the object visible. Opts may ask for IfAbsent; the checksum is the writer's own.
func (w *Writer) Complete(ctx context.Context, opts tiering.PutOptions) (Written, error) {
	if w.ended {
		return Written{}, errEnded
	}
	opts.HasCRC32C, opts.CRC32C = true, w.crc
	result := Written{Key: w.key, Size: w.size, CRC32C: w.crc, Puts: 1}
	if w.upload == nil {
		err := w.put(w.buf, opts)
		return result, errors.Join(err, w.end(ctx))
	}
	err := w.flush()
	w.join()
	if err == nil {
		err = w.failed()
	}
	if err == nil {
		err = w.upload.Complete(ctx, w.parts, opts)
	}
	result.Puts = w.parts
	return result, errors.Join(err, w.end(ctx))
}

// join waits for the uploaders.
func (w *Writer) join() {
	close(w.work)
	w.wg.Wait()
	w.work = nil
}

// end lets go of everything. An upload that was not completed is aborted.
func (w *Writer) end(ctx context.Context) error {
	w.ended = true
	w.stop(errEnded)
	w.buf = nil
	if w.upload == nil {
		return nil
	}
	if w.work != nil {
		w.join()
	}
	return w.upload.Abort(ctx) // does nothing after a Complete
}

// Abort gives up: nothing becomes visible. After Complete it does nothing.
func (w *Writer) Abort(ctx context.Context) error {
	if w.ended {
		return nil
	}
	return w.end(ctx)
}
