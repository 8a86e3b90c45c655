package manifest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stratamq/stratamq/message"
)

// fuzzDecoder: whatever the bytes, they are corrupt, or decode to what encodes to something that decodes to the same.
func fuzzDecoder[T any](f *testing.F, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := decode(src)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("error is %v", err)
			}
			return
		}
		raw, err := encode(v)
		if err != nil {
			t.Fatalf("%+v does not encode: %v", v, err)
		}
		again, err := decode(raw)
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%+v came back as %+v, %v", v, again, err)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	e := testEntry()
	f.Add(e.AppendTo(nil))
	e = Entry{Cluster: "c", Sequence: 1}
	f.Add(e.AppendTo(nil))
	fuzzDecoder(f, DecodeEntry, func(e Entry) ([]byte, error) {
		raw := e.AppendTo(nil)
		if again, err := DecodeEntry(raw); err != nil || !bytes.Equal(again.AppendTo(nil), raw) {
			return nil, errors.New("equal entries are not equal bytes")
		}
		return raw, nil
	})
}

func FuzzDecodeQueueValue(f *testing.F) {
	for _, n := range []int{0, 1, 20} {
		parts, err := EncodeRuns(testHeader, randomRuns(rand.New(rand.NewPCG(1, 1)), n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(parts[0])
	}
	fuzzDecoder(f, func(src []byte) ([]Run, error) {
		v, err := DecodeQueueValue(src)
		return v.Runs, err
	}, func(runs []Run) ([]byte, error) {
		parts, err := EncodeRuns(testHeader, runs)
		if err != nil || len(parts) > 1 {
			return nil, errors.Join(err, errors.New("more parts than before"))
		}
		return parts[0], nil
	})
}

func FuzzDecodeIndexValue(f *testing.F) {
	for _, fences := range [][]int{{}, {1}, {3, 7}} {
		parts, err := EncodeIndex(testHeader, randomIndex(rand.New(rand.NewPCG(1, 1)), fences...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(parts[0])
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := DecodeIndexValue(src)
		if err != nil {
			if !errors.Is(err, message.ErrCorrupt) {
				t.Fatalf("error is %v", err)
			}
			return
		}
		for _, o := range v.Objects {
			for i, fence := range o.Fences {
				if i > 0 && (fence.First < o.Fences[i-1].First || fence.Position != o.Fences[i-1].Position+o.Fences[i-1].Length) {
					t.Fatalf("fence %d of %+v is out of order", i, o)
				}
			}
		}
	})
}
