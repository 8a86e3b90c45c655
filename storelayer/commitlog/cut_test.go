package commitlog

import (
	"errors"
	"testing"

	"github.com/stratamq/stratamq/internal/vfs"
	"github.com/stratamq/stratamq/message"
)

// cutFile makes the file of a segment that short, as somebody outside would.
func cutFile(t *testing.T, fsys vfs.FS, base message.Position, size int64) {
	t.Helper()
	f, err := fsys.Open("/log/" + segmentName(base))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// fencedForDamage checks that a log has ended because durable bytes are gone.
func fencedForDamage(t *testing.T, l *running, fenced chan error) {
	t.Helper()
	err := <-fenced
	if _, damaged := errors.AsType[*DamageError](err); !damaged || !errors.Is(err, ErrFenced) {
		t.Errorf("fenced: %v", err)
	}
	if err := l.Submit(&Request{Batch: texts("later")}); !errors.Is(err, ErrFenced) {
		t.Errorf("submit: %v", err)
	}
	err = <-l.result
	if _, damaged := errors.AsType[*DamageError](err); !damaged {
		t.Errorf("run: %v", err)
	}
	l.result <- err // for the end of the test
}

// TestCutUnderTheMap: a read of durable bytes that are gone ends the log, whichever way it reads and whichever
// segment they were in; nothing is acknowledged behind a hole.
func TestCutUnderTheMap(t *testing.T) {
	for _, tt := range []struct {
		name string
		read func(*Log, message.Position) error
		full bool // the segment is not the active one
	}{
		{"map", func(l *Log, at message.Position) error { _, err := l.Read(nil, at, 100); return err }, false},
		{"full segment", func(l *Log, at message.Position) error { _, err := l.Read(nil, at, 100); return err }, true},
		{"frames", func(l *Log, at message.Position) error {
			return l.Frames(t.Context(), at, l.Watermark(), func(Frame) error { return nil })
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys, opts := memLog(1)
			fenced := make(chan error, 1)
			opts.Events.Fenced = func(err error) { fenced <- err }
			l := openRunning(t, opts)
			first := &textBatch{texts: [][]byte{numbered(1, 9000)}}
			if err := l.Append(t.Context(), first, AckDurable); err != nil {
				t.Fatal(err)
			}
			if tt.full {
				l.Roll()
				for range 2 {
					if err := l.Append(t.Context(), texts("x"), AckDurable); err != nil {
						t.Fatal(err)
					}
				}
				if len(l.Segments()) < 2 {
					t.Fatal("no second segment")
				}
			}
			base := l.Segments()[0].Base
			cutFile(t, fsys, base, pageSize)
			if err := tt.read(l.Log, first.at[0]); err == nil {
				t.Error("read")
			}
			fencedForDamage(t, l, fenced)
		})
	}
}

// TestCutBelowTheCommitter: a write into a file that was cut would make it long again, with zeros where durable bytes
// were. It is not acknowledged.
func TestCutBelowTheCommitter(t *testing.T) {
	fsys, opts := memLog(1)
	fenced := make(chan error, 1)
	opts.Events.Fenced = func(err error) { fenced <- err }
	l := openRunning(t, opts)
	if err := l.Append(t.Context(), texts("first"), AckDurable); err != nil {
		t.Fatal(err)
	}
	cutFile(t, fsys, l.Segments()[0].Base, pageSize)
	if err := l.Append(t.Context(), texts("second"), AckDurable); !errors.Is(err, ErrFenced) {
		t.Errorf("append: %v", err)
	}
	fencedForDamage(t, l, fenced)
}
