package tiering

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func FuzzValidateKey(f *testing.F) {
	for _, key := range []string{"a", "c1/00001/00000000000000000000/ever-0000000001-uuid", "../x", "a//b", ".tmp/x", "a/.", "\x00", "ü"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if ValidateKey(key) != nil {
			return
		}
		// A valid key is its own path, and stays below the directory it is joined to.
		joined := filepath.Join("/root-of-store", key)
		if joined != "/root-of-store/"+key || !filepath.IsLocal(key) || strings.HasPrefix(key, ".") {
			t.Errorf("key %q becomes path %q", key, joined)
		}
		for i := range len(key) {
			if err := ValidatePrefix(key[:i]); err != nil {
				t.Errorf("%q begins %q but is no prefix: %v", key[:i], key, err)
			}
		}
	})
}

func TestKeyLimits(t *testing.T) {
	long := strings.Repeat("a", maxNameLen)
	if err := ValidateKey(long + "/" + long); err != nil {
		t.Error(err)
	}
	for _, key := range []string{long + "a", strings.Repeat("a/", maxKeyLen/2) + "a"} {
		if ValidateKey(key) == nil {
			t.Errorf("a key of %d bytes is valid", len(key))
		}
	}
}

func TestSecret(t *testing.T) {
	s := Secret("hunter2")
	encoded, err := json.Marshal(struct{ S Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%#v %+v %s %q", s, struct{ S Secret }{s}, s, s), string(encoded), s.LogValue().String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("shown: %s", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("lost")
	}
}

func TestChecksum(t *testing.T) {
	if got := Checksum([]byte("123456789")); got != 0xe3069283 { // the check value of CRC-32C
		t.Errorf("%08x", got)
	}
	if got := UpdateChecksum(Checksum([]byte("1234")), []byte("56789")); got != 0xe3069283 {
		t.Errorf("%08x", got)
	}
}
