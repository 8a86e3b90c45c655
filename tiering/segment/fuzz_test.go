package segment

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// sections of a small object, as seeds.
func sections(f *testing.F, codec Codec) (object []byte, trailer Trailer, dir *Directory) {
	b, sealed := write(f, testConfig(codec, 500), manyRows(40, 2, 60))
	return b, sealed.Trailer, sealed.Directory
}

func (s Section) of(b []byte) []byte { return b[s.Position : s.Position+s.Length] }

func wantCorrupt(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, message.ErrCorrupt) {
		t.Fatalf("error is %v", err)
	}
}

func FuzzDecodeBlock(f *testing.F) {
	for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
		b, _, dir := sections(f, codec)
		for block := range dir.Blocks() {
			f.Add(b[block.Position : block.Position+int64(block.Length)])
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		h, records, err := DecodeBlock([]byte("head"), src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if string(records[:4]) != "head" || len(records) != 4+h.RawLen {
			t.Fatalf("%d bytes for %d", len(records), h.RawLen)
		}
		if again := append(appendBlockHeader(nil, h, src[BlockHeaderLen:], tiering.Checksum(src[BlockHeaderLen:])), src[BlockHeaderLen:]...); !slices.Equal(again, src) {
			t.Fatal("another block comes back")
		}
		for _, err := range h.Records(records[4:]) {
			if err != nil {
				wantCorrupt(t, err)
			}
		}
	})
}

func FuzzDecodeBlockHeader(f *testing.F) {
	b, _, _ := sections(f, CodecNone)
	f.Add(b[:BlockHeaderLen])
	f.Fuzz(func(t *testing.T, src []byte) {
		h, err := DecodeBlockHeader(src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if h.RawLen > maxRawLen || h.StoredLen > h.RawLen || h.Count < 1 {
			t.Fatalf("%+v", h)
		}
	})
}

func FuzzDecodeColumnPage(f *testing.F) {
	b, trailer, dir := sections(f, CodecNone)
	column := trailer.Sections[SectionColumns].of(b)
	for q := range dir.Queues() {
		f.Add(column[:q.Column.Len()], q.Column.Position)
		column = column[q.Column.Len():]
	}
	f.Fuzz(func(t *testing.T, src []byte, position int64) {
		entries, err := DecodeColumnPage(nil, src, position)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		var raw []byte
		for _, e := range entries {
			raw = e.AppendTo(raw)
		}
		if !slices.Equal(appendColumnPage(nil, raw, position), src) {
			t.Fatal("another page comes back")
		}
	})
}

func FuzzDecodePostingPage(f *testing.F) {
	b, trailer, _ := sections(f, CodecNone)
	f.Add(trailer.Sections[SectionPostings].of(b))
	f.Add(appendPostingPage(nil, PostingPage{{Hash: 0, Block: 1<<32 - 1}, {Hash: 1<<64 - 256, Block: 0}}))
	f.Fuzz(func(t *testing.T, src []byte) {
		page, n, err := DecodePostingPage(nil, src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		// Other numbers of bits are valid too, so the postings have to come back, not the bytes.
		again, _, err := DecodePostingPage(nil, appendPostingPage(nil, page))
		if err != nil || !slices.Equal(again, page) || n > len(src) {
			t.Fatalf("%v comes back as %v, %v", page, again, err)
		}
		for _, p := range page {
			if !slices.Contains(page.Blocks(nil, p.Hash), p.Block) {
				t.Fatalf("%+v is not found", p)
			}
		}
	})
}

func FuzzDecodeFences(f *testing.F) {
	b, trailer, _ := sections(f, CodecNone)
	f.Add(trailer.Sections[SectionFences].of(b), uint64(5))
	f.Add(appendFences(nil, []Fence{{0, 0, 100}, {0, 100, 20}, {1 << 60, 120, 1 << 30}}), uint64(0))
	f.Fuzz(func(t *testing.T, src []byte, hash uint64) {
		fences, err := DecodeFences(src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if !slices.Equal(appendFences(nil, fences), src) {
			t.Fatal("other fences come back")
		}
		for _, fence := range FencesFor(fences, hash) {
			if fence.First > hash {
				t.Fatalf("fence %016x for hash %016x", fence.First, hash)
			}
		}
	})
}

func FuzzDecodeDirectory(f *testing.F) {
	b, trailer, _ := sections(f, CodecNone)
	f.Add(trailer.Sections[SectionDirectory].of(b))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := DecodeDirectory(src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		again, err := DecodeDirectory(d.appendTo(nil))
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Fatalf("another directory comes back: %v", err)
		}
		for q := range d.Queues() {
			for _, block := range d.BlocksOf(q) {
				if got, ok := d.BlockAt(q.Queue, block.First); !ok || got != block {
					t.Fatalf("offset %d is in %+v, want %+v", block.First, got, block)
				}
			}
		}
	})
}

func FuzzDecodeTrailer(f *testing.F) {
	b, _, _ := sections(f, CodecNone)
	f.Add(b[len(b)-TrailerLen:], int64(len(b)))
	f.Fuzz(func(t *testing.T, src []byte, size int64) {
		trailer, err := DecodeTrailer(src, size)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if again, err := DecodeTrailer(trailer.AppendTo(nil), size); err != nil || again != trailer {
			t.Fatalf("another trailer comes back: %v", err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(Key{Cluster: "c-1", Shard: 65535, Base: 1 << 60, Class: ClassPending, Epoch: 1, UUID: strings.Repeat("0f", 16)}.String())
	f.Add("c/00001/00000000000000001000/7d-0000000003-0123456789abcdef0123456789abcdef")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err == nil && key.String() != text {
			t.Fatalf("%q comes back as %q", text, key)
		}
	})
}

func FuzzDecodeBlockOfDirectory(f *testing.F) {
	b, _, dir := sections(f, CodecS2)
	want, _ := dir.Block(0)
	for block := range dir.Blocks() {
		f.Add(b[block.Position : block.Position+int64(block.Length)])
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		h, records, err := want.Decode(nil, src)
		if err != nil {
			wantCorrupt(t, err)
			return
		}
		if h.Queue != want.Queue || h.First != want.First || h.Count != want.Count || len(records) != h.RawLen {
			t.Fatalf("%+v is taken for %+v", h, want)
		}
	})
}

func FuzzParseNames(f *testing.F) {
	for _, name := range []string{"zstd", "none", "7d", "pending", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if class, err := ParseClass(name); err == nil && class.String() != name {
			t.Fatalf("class %q comes back as %q", name, class)
		}
		if codec, err := ParseCodec(name); err == nil && codec.String() != name {
			t.Fatalf("codec %q comes back as %q", name, codec)
		}
	})
}
