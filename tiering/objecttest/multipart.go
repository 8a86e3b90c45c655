package objecttest

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/tiering"
)

const partSize = tiering.MinPartSize

// uploadAll uploads the parts of body, the last one first and side by side.
func uploadAll(t *testing.T, store tiering.ObjectStore, key string, body []byte) (upload tiering.Upload, parts int) {
	t.Helper()
	upload, err := store.Create(t.Context(), key, partSize)
	if err != nil {
		t.Fatal(err)
	}
	parts = (len(body) + partSize - 1) / partSize
	var wg sync.WaitGroup
	for number := parts; number >= 1; number-- {
		part := body[(number-1)*partSize : min(len(body), number*partSize)]
		wg.Go(func() {
			if err := upload.Part(t.Context(), number, part); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return upload, parts
}

func abort(t *testing.T, upload tiering.Upload) {
	t.Helper()
	for range 2 { // the second time there is nothing left to do
		if err := upload.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func testMultipart(t *testing.T, store tiering.ObjectStore) {
	for _, n := range []int{1, 1000, partSize, partSize + 1, 3*partSize - 1} {
		body := payload(t, n)
		upload, parts := uploadAll(t, store, "d/multi", body)
		if n == partSize+1 { // a part that is sent again, because its answer was lost
			if err := upload.Part(t.Context(), 1, body[:partSize]); err != nil {
				t.Fatal(err)
			}
		}
		if err := upload.Complete(t.Context(), parts, tiering.PutOptions{HasCRC32C: true, CRC32C: tiering.Checksum(body)}); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		abort(t, upload)
		wantObject(t, store, "d/multi", body)
		if err := store.Delete(t.Context(), "d/multi"); err != nil {
			t.Fatal(err)
		}
	}
}

func testMultipartAbort(t *testing.T, store tiering.ObjectStore) {
	body := payload(t, partSize+5)
	upload, _ := uploadAll(t, store, "aborted", body)
	_, err := store.Head(t.Context(), "aborted")
	wantError(t, err, tiering.ErrNotFound, "aborted")
	wantKeys(t, store, "", "", nil)
	abort(t, upload)
	if err := upload.Complete(t.Context(), 2, tiering.PutOptions{}); err == nil {
		t.Fatal("an aborted upload completes")
	}
	_, err = store.Head(t.Context(), "aborted")
	wantError(t, err, tiering.ErrNotFound, "aborted")

	upload, _ = uploadAll(t, store, "short", body)
	if err := upload.Complete(t.Context(), 3, tiering.PutOptions{}); !errors.Is(err, tiering.ErrCorrupt) {
		t.Fatalf("complete with a missing part: %v", err)
	}
	if err := upload.Part(t.Context(), 0, body[:5]); !errors.Is(err, tiering.ErrUnsupported) {
		t.Fatalf("part 0: %v", err)
	}
	if err := upload.Part(t.Context(), 1, body[:partSize+1]); !errors.Is(err, tiering.ErrUnsupported) {
		t.Fatalf("part above the part size: %v", err)
	}
	abort(t, upload)
	if _, err := store.Create(t.Context(), "tiny", 1000); !errors.Is(err, tiering.ErrUnsupported) {
		t.Fatalf("tiny parts: %v", err)
	}
}

func testMultipartIfAbsent(t *testing.T, store tiering.ObjectStore) {
	first, second := payload(t, 2000), payload(t, 3000)
	a, _ := uploadAll(t, store, "m/once", first)
	b, _ := uploadAll(t, store, "m/once", second)
	opts := tiering.PutOptions{IfAbsent: true}
	if err := a.Complete(t.Context(), 1, opts); err != nil {
		t.Fatal(err)
	}
	wantError(t, b.Complete(t.Context(), 1, opts), tiering.ErrExists, "m/once")
	abort(t, b)
	wantObject(t, store, "m/once", first)
	err := store.Put(t.Context(), "m/once", bytes.NewReader(second), 3000, opts)
	wantError(t, err, tiering.ErrExists, "m/once")
}

func testMultipartChecksum(t *testing.T, store tiering.ObjectStore) {
	body := payload(t, partSize+17)
	upload, parts := uploadAll(t, store, "m/bad", body)
	err := upload.Complete(t.Context(), parts, tiering.PutOptions{HasCRC32C: true, CRC32C: tiering.Checksum(body) ^ 1})
	wantError(t, err, tiering.ErrCorrupt, "m/bad")
	abort(t, upload)
	_, err = store.Head(t.Context(), "m/bad")
	wantError(t, err, tiering.ErrNotFound, "m/bad")
}
