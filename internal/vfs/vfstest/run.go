package vfstest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratamq/stratamq/internal/vfs"
)

// Run tests the engine. New returns a file system and an empty folder in it, for one test.
func Run(t *testing.T, newFS func(t *testing.T) (fsys vfs.FS, dir string)) {
	tests := []struct {
		name string
		fn   func(t *testing.T, fsys vfs.FS, dir string)
	}{
		{"ReadsWhatWasWritten", testReadWrite},
		{"WriteZeros", testWriteZeros},
		{"CreateAndOpen", testCreateOpen},
		{"Lengths", testLengths},
		{"NextData", testNextData},
		{"Names", testNames},
		{"Folders", testFolders},
		{"MapShowsLaterWrites", testMap},
		{"MapOfAShorterFileFails", testMapFault},
		{"Lock", testLock},
		{"ManyGoroutines", testConcurrent},
		{"Close", testClose},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys, dir := newFS(t)
			test.fn(t, fsys, dir)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys vfs.FS, name string, content []byte) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() }) // a test that closes it itself closes it twice
	_, err = f.WriteAt(content, 0)
	must(t, err)
	return f
}

func testReadWrite(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), []byte("hello"))
	_, err := f.WriteAt([]byte("world"), 8190)
	must(t, err)
	must(t, f.Sync())
	got := make([]byte, 8195)
	n, err := f.ReadAt(got, 0)
	must(t, err)
	want := slices.Concat([]byte("hello"), make([]byte, 8185), []byte("world"))
	if n != len(want) || !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes that differ", n)
	}
	n, err = f.ReadAt(got, 8192)
	if n != 3 || string(got[:3]) != "rld" {
		t.Fatalf("read %d bytes at the end", n)
	}
	wantErr(t, err, io.EOF)
	_, err = f.ReadAt(got[:1], 9000)
	wantErr(t, err, io.EOF)
}

// Zeros land where they were sent, whatever the alignment, beside bytes that the cache holds and under a map.
func testWriteZeros(t *testing.T, fsys vfs.FS, dir string) {
	const size = 3 << 20
	for _, part := range []struct{ off, n int64 }{{4096, 4096}, {8192, 2 << 20}, {1, 5000}, {4097, 4096}, {size - 4096, 8192}, {100, 0}} {
		f := create(t, fsys, path.Join(dir, "zeros"), bytes.Repeat([]byte{7}, size))
		mapped, err := f.Map()
		must(t, err)
		must(t, f.Fallocate(part.off, part.n))
		must(t, f.WriteZeros(part.off, part.n))
		must(t, f.Sync())
		want := bytes.Repeat([]byte{7}, max(size, int(part.off+part.n)))
		clear(want[part.off : part.off+part.n])
		got := make([]byte, len(want))
		_, err = f.ReadAt(got, 0)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%d zeros at %d are elsewhere", part.n, part.off)
		}
		_, err = mapped.ReadAt(got[:size], 0)
		must(t, err)
		if !bytes.Equal(got[:size], want[:size]) {
			t.Errorf("%d zeros at %d are elsewhere in the map", part.n, part.off)
		}
		_, err = f.WriteAt([]byte("again"), part.off)
		must(t, err)
		_, err = f.ReadAt(got[:5], part.off)
		must(t, err)
		if string(got[:5]) != "again" {
			t.Errorf("%q behind a write over zeros", got[:5])
		}
		must(t, mapped.Unmap())
		must(t, f.Close())
		wantErr(t, f.WriteZeros(0, 4096), vfs.ErrClosed)
		must(t, fsys.Remove(path.Join(dir, "zeros")))
	}
}

func testCreateOpen(t *testing.T, fsys vfs.FS, dir string) {
	name := path.Join(dir, "f")
	_, err := fsys.Open(name)
	wantErr(t, err, fs.ErrNotExist)
	create(t, fsys, name, []byte("x"))
	_, err = fsys.Create(name)
	wantErr(t, err, fs.ErrExist)
	_, err = fsys.Create(path.Join(dir, "none", "f"))
	wantErr(t, err, fs.ErrNotExist)
	f, err := fsys.Open(name)
	must(t, err)
	defer func() { must(t, f.Close()) }()
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	if f.Name() != name || b[0] != 'x' {
		t.Fatalf("opened %s with %q", f.Name(), b)
	}
}

func size(t *testing.T, f vfs.File) int64 {
	t.Helper()
	n, err := f.Size()
	must(t, err)
	return n
}

func testLengths(t *testing.T, fsys vfs.FS, dir string) {
	name := path.Join(dir, "f")
	f := create(t, fsys, name, bytes.Repeat([]byte{1}, 5000))
	must(t, f.Fallocate(0, 1<<20))
	if n := size(t, f); n != 5000 {
		t.Fatalf("Fallocate made the length %d", n)
	}
	must(t, f.Truncate(100))
	must(t, f.Truncate(10000))
	got := make([]byte, 10000)
	_, err := f.ReadAt(got, 0)
	must(t, err)
	if !bytes.Equal(got, append(bytes.Repeat([]byte{1}, 100), make([]byte, 9900)...)) {
		t.Fatal("cut bytes came back")
	}
	info, err := fsys.Stat(name)
	must(t, err)
	if info.Size != 10000 || info.Dir {
		t.Fatalf("%+v", info)
	}
	free, err := fsys.FreeSpace(dir)
	must(t, err)
	if free <= 0 {
		t.Fatalf("free space %d", free)
	}
}

func testNextData(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), nil)
	must(t, f.Truncate(1<<20))
	_, err := f.WriteAt([]byte{1}, 300<<10)
	must(t, err)
	for _, off := range []int64{0, 300 << 10} {
		next, err := f.NextData(off)
		must(t, err)
		if next < off || next > 300<<10 {
			t.Fatalf("NextData(%d) = %d jumps over the byte", off, next)
		}
	}
	for _, off := range []int64{1 << 20, 2 << 20} {
		next, err := f.NextData(off)
		must(t, err)
		if next != 1<<20 {
			t.Fatalf("NextData(%d) = %d at the end", off, next)
		}
	}
}

func testNames(t *testing.T, fsys vfs.FS, dir string) {
	a, b, c := path.Join(dir, "a"), path.Join(dir, "b"), path.Join(dir, "c")
	create(t, fsys, a, []byte("a"))
	create(t, fsys, b, []byte("b"))
	must(t, fsys.Link(a, c))
	wantErr(t, fsys.Link(a, b), fs.ErrExist)
	wantErr(t, fsys.Link(path.Join(dir, "none"), path.Join(dir, "d")), fs.ErrNotExist)
	must(t, fsys.Rename(a, b))
	wantErr(t, fsys.Rename(a, b), fs.ErrNotExist)
	must(t, fsys.SyncDir(dir))
	for _, name := range []string{b, c} {
		f, err := fsys.Open(name)
		must(t, err)
		got := make([]byte, 1)
		_, err = f.ReadAt(got, 0)
		must(t, errors.Join(err, f.Close()))
		if string(got) != "a" {
			t.Fatalf("%s holds %q", name, got)
		}
	}
	must(t, fsys.Remove(b))
	wantErr(t, fsys.Remove(b), fs.ErrNotExist)
	names, err := fsys.List(dir)
	must(t, err)
	if !slices.Equal(names, []string{"c"}) {
		t.Fatal(names)
	}
	_, err = fsys.Stat(b)
	wantErr(t, err, fs.ErrNotExist)
}

func testFolders(t *testing.T, fsys vfs.FS, dir string) {
	deep := path.Join(dir, "x", "y", "z")
	must(t, fsys.MkdirAll(deep))
	must(t, fsys.MkdirAll(deep))
	create(t, fsys, path.Join(deep, "f"), nil)
	if err := fsys.MkdirAll(path.Join(deep, "f")); err == nil {
		t.Fatal("made a folder of a file")
	}
	if err := fsys.Remove(deep); err == nil {
		t.Fatal("removed a folder that is not empty")
	}
	must(t, fsys.Remove(path.Join(deep, "f")))
	must(t, fsys.Remove(deep))
	names, err := fsys.List(path.Join(dir, "x"))
	must(t, err)
	info, err := fsys.Stat(path.Join(dir, "x", "y"))
	must(t, err)
	if !slices.Equal(names, []string{"y"}) || !info.Dir {
		t.Fatal(names, info)
	}
	_, err = fsys.List(deep)
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, fsys.SyncDir(deep), fs.ErrNotExist)
}

func testMap(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), nil)
	must(t, f.Truncate(64<<10))
	m, err := f.Map()
	must(t, err)
	defer func() { must(t, m.Unmap()) }()
	if m.Len() != 64<<10 {
		t.Fatalf("mapped %d bytes", m.Len())
	}
	_, err = f.WriteAt([]byte("later"), 5000)
	must(t, err)
	must(t, f.Close())
	got := make([]byte, 5)
	_, err = m.ReadAt(got, 5000)
	must(t, err)
	if string(got) != "later" {
		t.Fatalf("map shows %q", got)
	}
	n, err := m.ReadAt(got, 64<<10-2)
	wantErr(t, err, io.EOF)
	if n != 2 {
		t.Fatalf("read %d bytes at the end of the map", n)
	}
	_, err = m.ReadAt(got, 64<<10)
	wantErr(t, err, io.EOF)
}

func testMapFault(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), bytes.Repeat([]byte{7}, 256<<10))
	m, err := f.Map()
	must(t, err)
	defer func() { must(t, m.Unmap()) }()
	must(t, f.Truncate(64<<10))
	got := make([]byte, 8<<10)
	_, err = m.ReadAt(got, 128<<10)
	wantErr(t, err, vfs.ErrFault)
	_, err = m.ReadAt(got, 60<<10)
	wantErr(t, err, vfs.ErrFault)
	_, err = m.ReadAt(got[:4<<10], 60<<10)
	must(t, err)
	if !bytes.Equal(got[:4<<10], bytes.Repeat([]byte{7}, 4<<10)) {
		t.Fatal("what is left of the file reads differently")
	}
}

func testLock(t *testing.T, fsys vfs.FS, dir string) {
	name := path.Join(dir, "LOCK")
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l, err := fsys.Lock(name, vfs.Holder{PID: 17, Since: since, Note: "strata server"})
	must(t, err)
	_, err = fsys.Lock(name, vfs.Holder{PID: 18, Since: since})
	wantErr(t, err, vfs.ErrLocked)
	want := dir + " is in use by strata server, process 17, since 2026-01-02T03:04:05Z (lock file " + name + ")"
	if err.Error() != want {
		t.Fatalf("refused with %q, want %q", err, want)
	}
	must(t, l.Close())
	must(t, l.Close())
	l, err = fsys.Lock(name, vfs.Holder{PID: 18, Since: since})
	must(t, err)
	_, err = fsys.Lock(name, vfs.Holder{PID: 19, Since: since})
	if err == nil || !strings.Contains(err.Error(), "process 18, since") {
		t.Fatalf("refused with %v", err)
	}
	must(t, l.Close())
}

func testConcurrent(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := bytes.Repeat([]byte{byte(i + 1)}, 10000)
			got := make([]byte, len(want))
			for range 20 {
				_, err := f.WriteAt(want, int64(i)*10000)
				err = errors.Join(err, f.Sync())
				_, readErr := f.ReadAt(got, int64(i)*10000)
				if err = errors.Join(err, readErr); err != nil || !bytes.Equal(got, want) {
					t.Errorf("goroutine %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func testClose(t *testing.T, fsys vfs.FS, dir string) {
	f := create(t, fsys, path.Join(dir, "f"), []byte("x"))
	must(t, f.Close())
	wantErr(t, f.Close(), vfs.ErrClosed)
	_, err := f.ReadAt(make([]byte, 1), 0)
	wantErr(t, err, vfs.ErrClosed)
	_, err = f.WriteAt(make([]byte, 1), 0)
	wantErr(t, err, vfs.ErrClosed)
	wantErr(t, f.Sync(), vfs.ErrClosed)
}
