package objecttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stratamq/stratamq/tiering"
)

// Run checks that the stores which open returns keep the contract. Each call of open gives an empty store that
// the test may fill; open closes it when its t ends.
func Run(t *testing.T, open func(t *testing.T) tiering.ObjectStore) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, store tiering.ObjectStore)
	}{
		{"put and get", testPutGet},
		{"absent", testAbsent},
		{"ranges", testRanges},
		{"replace", testReplace},
		{"if absent", testIfAbsent},
		{"if absent race", testIfAbsentRace},
		{"checksum", testChecksum},
		{"delete", testDelete},
		{"list", testList},
		{"list from every place", testListAfter},
		{"list many", testListMany},
		{"multipart", testMultipart},
		{"multipart abort", testMultipartAbort},
		{"multipart if absent", testMultipartIfAbsent},
		{"multipart checksum", testMultipartChecksum},
		{"keys", testKeys},
		{"context", testContext},
		{"put once", testPutOnce},
		{"close", testClose},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// payload returns n bytes that depend on the test's name.
func payload(t *testing.T, n int) []byte {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Name()))
	rng := rand.NewChaCha8([32]byte{byte(h.Sum64()), byte(h.Sum64() >> 8), byte(n)})
	b := make([]byte, n)
	_, _ = rng.Read(b)
	return b
}

func put(t *testing.T, store tiering.ObjectStore, key string, body []byte, opts tiering.PutOptions) {
	t.Helper()
	if err := store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), opts); err != nil {
		t.Fatal(err)
	}
}

func wantObject(t *testing.T, store tiering.ObjectStore, key string, want []byte) {
	t.Helper()
	info, err := store.Head(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if info.Key != key || info.Size != int64(len(want)) {
		t.Fatalf("head gives %q with %d bytes, want %q with %d", info.Key, info.Size, key, len(want))
	}
	if info.HasCRC32C && info.CRC32C != tiering.Checksum(want) {
		t.Fatalf("head gives CRC32C %08x, want %08x", info.CRC32C, tiering.Checksum(want))
	}
	got := make([]byte, len(want))
	if err := store.GetRange(t.Context(), key, got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s has other bytes than were put", key)
	}
}

// wantError checks the sentinel, and that the error names operation and key.
func wantError(t *testing.T, err, sentinel error, key string) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Fatalf("error is %v, want %v", err, sentinel)
	}
	if op, ok := errors.AsType[*tiering.OpError](err); !ok || op.Key != key || op.Op == "" {
		t.Fatalf("error %v does not name operation and key %q", err, key)
	}
}

func testPutGet(t *testing.T, store tiering.ObjectStore) {
	for _, n := range []int{0, 1, 1000, 3<<20 + 7} {
		key := fmt.Sprintf("dir/sub/object-%d", n)
		body := payload(t, n)
		put(t, store, key, body, tiering.PutOptions{})
		wantObject(t, store, key, body)
	}
	if store.String() == "" {
		t.Error("the store has no name")
	}
}

func testAbsent(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "there/a", []byte("x"), tiering.PutOptions{})
	for _, key := range []string{"absent", "there/b", "there", "other/a"} {
		_, err := store.Head(t.Context(), key)
		wantError(t, err, tiering.ErrNotFound, key)
		wantError(t, store.GetRange(t.Context(), key, make([]byte, 1), 0), tiering.ErrNotFound, key)
		wantError(t, store.GetRange(t.Context(), key, nil, 0), tiering.ErrNotFound, key)
	}
}

func testRanges(t *testing.T, store tiering.ObjectStore) {
	body := payload(t, 100_000)
	put(t, store, "a/ranged", body, tiering.PutOptions{})
	for _, r := range [][2]int{{0, 1}, {0, 100_000}, {1, 99_999}, {99_999, 100_000}, {50_000, 50_001}, {4096, 8192}, {7, 7}, {100_000, 100_000}} {
		// Canaries around the buffer show writes that go too far.
		buf := bytes.Repeat([]byte{0xa5}, r[1]-r[0]+2)
		dst := buf[1 : len(buf)-1 : len(buf)-1]
		if err := store.GetRange(t.Context(), "a/ranged", dst, int64(r[0])); err != nil {
			t.Fatalf("range %v: %v", r, err)
		}
		if !bytes.Equal(dst, body[r[0]:r[1]]) || buf[0] != 0xa5 || buf[len(buf)-1] != 0xa5 {
			t.Fatalf("range %v has wrong bytes", r)
		}
	}
	for _, r := range [][2]int64{{0, 100_001}, {99_999, 2}, {100_000, 1}, {200_000, 5}, {-1, 1}} {
		wantError(t, store.GetRange(t.Context(), "a/ranged", make([]byte, r[1]), r[0]), tiering.ErrCorrupt, "a/ranged")
	}
}

func testReplace(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "a", payload(t, 10), tiering.PutOptions{})
	before, err := store.Head(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	body := payload(t, 20)
	put(t, store, "a", body, tiering.PutOptions{})
	wantObject(t, store, "a", body)
	after, err := store.Head(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if before.ETag != "" && before.ETag == after.ETag {
		t.Errorf("another object has the same tag %q", after.ETag)
	}
}

func testIfAbsent(t *testing.T, store tiering.ObjectStore) {
	body := payload(t, 100)
	put(t, store, "d/a", body, tiering.PutOptions{IfAbsent: true})
	err := store.Put(t.Context(), "d/a", bytes.NewReader([]byte("other")), 5, tiering.PutOptions{IfAbsent: true})
	wantError(t, err, tiering.ErrExists, "d/a")
	wantObject(t, store, "d/a", body)
	if err := store.Delete(t.Context(), "d/a"); err != nil {
		t.Fatal(err)
	}
	put(t, store, "d/a", []byte("new"), tiering.PutOptions{IfAbsent: true})
	wantObject(t, store, "d/a", []byte("new"))
}

func testIfAbsentRace(t *testing.T, store tiering.ObjectStore) {
	const racers = 8
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		errs := make([]error, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				body := bytes.Repeat([]byte{byte('a' + i)}, 1000+i)
				errs[i] = store.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), tiering.PutOptions{IfAbsent: true})
			})
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch {
			case err == nil && winner >= 0:
				t.Fatalf("round %d: both %d and %d won", round, winner, i)
			case err == nil:
				winner = i
			case !errors.Is(err, tiering.ErrExists):
				t.Fatalf("round %d: %v", round, err)
			}
		}
		if winner < 0 {
			t.Fatalf("round %d: nobody won", round)
		}
		wantObject(t, store, key, bytes.Repeat([]byte{byte('a' + winner)}, 1000+winner))
	}
}

func testChecksum(t *testing.T, store tiering.ObjectStore) {
	body := payload(t, 5000)
	crc := tiering.Checksum(body)
	put(t, store, "good", body, tiering.PutOptions{HasCRC32C: true, CRC32C: crc})
	wantObject(t, store, "good", body)
	err := store.Put(t.Context(), "bad", bytes.NewReader(body), 5000, tiering.PutOptions{HasCRC32C: true, CRC32C: crc + 1})
	wantError(t, err, tiering.ErrCorrupt, "bad")
	_, err = store.Head(t.Context(), "bad")
	wantError(t, err, tiering.ErrNotFound, "bad")
	put(t, store, "empty", nil, tiering.PutOptions{HasCRC32C: true})
	wantObject(t, store, "empty", nil)
}

func testDelete(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "d/e/a", []byte("a"), tiering.PutOptions{})
	put(t, store, "d/e/b", []byte("b"), tiering.PutOptions{})
	for range 2 { // the second time it is gone already
		if err := store.Delete(t.Context(), "d/e/a"); err != nil {
			t.Fatal(err)
		}
	}
	_, err := store.Head(t.Context(), "d/e/a")
	wantError(t, err, tiering.ErrNotFound, "d/e/a")
	wantObject(t, store, "d/e/b", []byte("b"))
	if err := store.Delete(t.Context(), "never/was/there"); err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(t.Context(), "d/e/b"); err != nil {
		t.Fatal(err)
	}
	put(t, store, "d/e", []byte("now an object"), tiering.PutOptions{})
	wantObject(t, store, "d/e", []byte("now an object"))
}

// listed are keys whose order differs from that of a directory walk.
var listed = []string{"a-b", "a.c", "a/b", "a/b-c/d", "a/b.d", "a/c/1", "a/c/2", "a/c-1", "a0", "aa/x", "b", "c/d/e/f", "z/0000000001", "z/0000000010"}

func collect(t *testing.T, store tiering.ObjectStore, prefix, after string) []string {
	t.Helper()
	var keys []string
	for info, err := range store.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != int64(len(info.Key)) {
			t.Fatalf("list gives %d bytes for %q", info.Size, info.Key)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func wantKeys(t *testing.T, store tiering.ObjectStore, prefix, after string, all []string) {
	t.Helper()
	var want []string
	for _, key := range slices.Sorted(slices.Values(all)) {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix && key > after {
			want = append(want, key)
		}
	}
	got := collect(t, store, prefix, after)
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			from := max(0, i-2)
			t.Fatalf("list of prefix %q after %q differs at %d of %d, %d\n got … %.100q\nwant … %.100q",
				prefix, after, i, len(got), len(want), got[from:min(len(got), i+3)], want[from:min(len(want), i+3)])
		}
	}
}

func testList(t *testing.T, store tiering.ObjectStore) {
	wantKeys(t, store, "", "", nil)
	for _, key := range listed {
		put(t, store, key, []byte(key), tiering.PutOptions{})
	}
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/c", "a/c/", "a/c/1", "b", "c/d", "nothing", "z/00000000", "zz"} {
		wantKeys(t, store, prefix, "", listed)
	}
	for info, err := range store.List(t.Context(), "", "") { // an early end
		if err != nil || info.Key != "a-b" {
			t.Fatalf("first is %q, %v", info.Key, err)
		}
		break
	}
	for _, prefix := range []string{"/a", "../", ".tmp", "a//"} {
		for _, err := range store.List(t.Context(), prefix, "") {
			wantError(t, err, tiering.ErrInvalidKey, prefix)
		}
	}
}

func testListAfter(t *testing.T, store tiering.ObjectStore) {
	for _, key := range listed {
		put(t, store, key, []byte(key), tiering.PutOptions{})
	}
	for _, prefix := range []string{"", "a/", "z/"} {
		for _, key := range listed {
			wantKeys(t, store, prefix, key, listed)
			wantKeys(t, store, prefix, key+"-", listed)
			wantKeys(t, store, prefix, key[:len(key)-1], listed)
		}
	}
}

// testListMany goes over the page size of S3, 1000 keys.
func testListMany(t *testing.T, store tiering.ObjectStore) {
	const n = 1100
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("many/%d/%05d", i%3, i))
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				if err := store.Put(t.Context(), keys[i], bytes.NewReader([]byte(keys[i])), int64(len(keys[i])), tiering.PutOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantKeys(t, store, "many/", "", keys)
	wantKeys(t, store, "", "many/1/00500", keys)
}

func testKeys(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "A-Z_0.9=x/y", []byte("x"), tiering.PutOptions{})
	wantObject(t, store, "A-Z_0.9=x/y", []byte("x"))
	for _, key := range []string{"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "a b", "a%2fb", "a\\b", "a\x00b", "ü", "a?b", "a#b"} {
		ctx := t.Context()
		wantError(t, store.Put(ctx, key, bytes.NewReader(nil), 0, tiering.PutOptions{}), tiering.ErrInvalidKey, key)
		wantError(t, store.GetRange(ctx, key, make([]byte, 1), 0), tiering.ErrInvalidKey, key)
		wantError(t, store.Delete(ctx, key), tiering.ErrInvalidKey, key)
		_, err := store.Head(ctx, key)
		wantError(t, err, tiering.ErrInvalidKey, key)
		_, err = store.Create(ctx, key, tiering.MinPartSize)
		wantError(t, err, tiering.ErrInvalidKey, key)
	}
}

func testContext(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "a", []byte("x"), tiering.PutOptions{})
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	wantError(t, store.Put(ctx, "b", bytes.NewReader([]byte("x")), 1, tiering.PutOptions{}), stop, "b")
	wantError(t, store.GetRange(ctx, "a", make([]byte, 1), 0), stop, "a")
	wantError(t, store.Delete(ctx, "a"), stop, "a")
	_, err := store.Head(ctx, "a")
	wantError(t, err, stop, "a")
	for _, err := range store.List(ctx, "", "") {
		if !errors.Is(err, stop) {
			t.Fatalf("list: %v", err)
		}
	}
	wantObject(t, store, "a", []byte("x"))
}

func testPutOnce(t *testing.T, store tiering.ObjectStore) {
	for _, caps := range []tiering.Capabilities{{}, {ConditionalPut: true, ChecksumVerified: true}} {
		key := fmt.Sprintf("once/%v", caps.ConditionalPut)
		for range 2 {
			if err := tiering.PutOnce(t.Context(), store, caps, key, []byte("entry")); err != nil {
				t.Fatal(err)
			}
		}
		wantError(t, tiering.PutOnce(t.Context(), store, caps, key, []byte("other")), tiering.ErrExists, key)
		wantObject(t, store, key, []byte("entry"))
		if err := tiering.Verify(t.Context(), store, caps, key, 5, tiering.Checksum([]byte("entry"))); err != nil {
			t.Fatal(err)
		}
		wantError(t, tiering.Verify(t.Context(), store, tiering.Capabilities{}, key, 5, 1), tiering.ErrCorrupt, key)
		wantError(t, tiering.Verify(t.Context(), store, caps, key, 6, 1), tiering.ErrCorrupt, key)
	}
}

func testClose(t *testing.T, store tiering.ObjectStore) {
	put(t, store, "a", []byte("x"), tiering.PutOptions{})
	for range 2 {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Head(t.Context(), "a"); err == nil {
		t.Fatal("a closed store answers")
	}
}
