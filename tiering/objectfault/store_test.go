package objectfault

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/file"
	"github.com/stratamq/stratamq/tiering/objecttest"
)

func open(t *testing.T) *Store {
	inner, err := file.Open(t.TempDir() + "/objects")
	if err != nil {
		t.Fatal(err)
	}
	s := Wrap(inner)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestUnarmed(t *testing.T) {
	objecttest.Run(t, func(t *testing.T) tiering.ObjectStore { return open(t) })
}

func only(op string, mode Mode) func(Call) Fault {
	return func(c Call) Fault {
		if c.Op == op {
			return Fault{Mode: mode}
		}
		return Fault{}
	}
}

// TestFaults makes each call fail in both ways and looks at what it left.
func TestFaults(t *testing.T) {
	put := func(s *Store) error {
		return s.Put(t.Context(), "k", bytes.NewReader([]byte("new")), 3, tiering.PutOptions{})
	}
	upload := func(s *Store) error {
		u, err := s.Create(t.Context(), "k", tiering.MinPartSize)
		if err != nil {
			return err
		}
		if err := u.Part(t.Context(), 1, []byte("new")); err != nil {
			return errors.Join(err, u.Abort(t.Context()))
		}
		if err := u.Complete(t.Context(), 1, tiering.PutOptions{}); err != nil {
			return errors.Join(err, u.Abort(t.Context()))
		}
		return nil
	}
	for _, c := range []struct {
		op    string
		call  func(s *Store) error
		after string // what "k" is after the fault After; it was "old"
	}{
		{"put", put, "new"},
		{"create", upload, "old"},
		{"part", upload, "old"},
		{"complete", upload, "new"},
		{"delete", func(s *Store) error { return s.Delete(t.Context(), "k") }, ""},
		{"get", func(s *Store) error { return s.GetRange(t.Context(), "k", make([]byte, 3), 0) }, "old"},
		{"head", func(s *Store) error { _, err := s.Head(t.Context(), "k"); return err }, "old"},
		{"list", func(s *Store) error {
			for _, err := range s.List(t.Context(), "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		}, "old"},
	} {
		for mode, want := range map[Mode]string{Before: "old", After: c.after} {
			t.Run(c.op, func(t *testing.T) {
				s := open(t)
				if err := s.Put(t.Context(), "k", bytes.NewReader([]byte("old")), 3, tiering.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				s.Arm(only(c.op, mode))
				err := c.call(s)
				if op, ok := errors.AsType[*tiering.OpError](err); !errors.Is(err, tiering.ErrUnavailable) || !ok || op.Op != c.op {
					t.Errorf("mode %d: error is %v", mode, err)
				}
				s.Arm(nil)
				got := make([]byte, 3)
				switch err := s.GetRange(t.Context(), "k", got, 0); {
				case errors.Is(err, tiering.ErrNotFound):
					got = nil
				case err != nil:
					t.Fatal(err)
				}
				if string(got) != want {
					t.Errorf("mode %d leaves %q, want %q", mode, got, want)
				}
			})
		}
	}
}

func TestDamage(t *testing.T) {
	s := open(t)
	body := bytes.Repeat([]byte("a"), 100)
	if err := s.Put(t.Context(), "k", bytes.NewReader(body), 100, tiering.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Arm(only("get", Damage))
	err := tiering.Verify(t.Context(), s, tiering.Capabilities{}, "k", 100, tiering.Checksum(body))
	if !errors.Is(err, tiering.ErrCorrupt) {
		t.Errorf("a flipped bit is not found: %v", err)
	}
	s.Arm(func(Call) Fault { return Fault{Mode: Before, Err: tiering.ErrThrottled} })
	if _, err := s.Head(t.Context(), "k"); !errors.Is(err, tiering.ErrThrottled) {
		t.Errorf("error is %v", err)
	}
}

// TestPutOnce repeats a put whose answer was lost: its own bytes are no conflict.
func TestPutOnce(t *testing.T) {
	for _, caps := range []tiering.Capabilities{{}, {ConditionalPut: true, ChecksumVerified: true}} {
		s := open(t)
		s.Arm(only("put", After))
		if err := tiering.PutOnce(t.Context(), s, caps, "k", []byte("entry")); !errors.Is(err, tiering.ErrUnavailable) {
			t.Fatalf("error is %v", err)
		}
		s.Arm(nil)
		if err := tiering.PutOnce(t.Context(), s, caps, "k", []byte("entry")); err != nil {
			t.Errorf("%+v: the repetition fails: %v", caps, err)
		}
	}
	if s := open(t); s.Calls() != 0 {
		t.Errorf("%d calls before the first", s.Calls())
	}
}
