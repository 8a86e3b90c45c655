package tiering

import (
	"fmt"
	"strings"
)

const (
	maxKeyLen  = 700 // bytes; S3 takes 1024, and a prefix comes in front
	maxNameLen = 200 // bytes between slashes; file systems take 255, and a suffix of temporary files is added
)

// ValidateKey checks the grammar of keys: names of A–Z a–z 0–9 - _ . = that do not begin with a dot, joined by
// single slashes. Such a key is the same text in a URL, in a signature and as a path, and cannot leave the
// directory it is put under.
func ValidateKey(key string) error {
	if key == "" || len(key) > maxKeyLen {
		return fmt.Errorf("%w: %d bytes, not 1 to %d", ErrInvalidKey, len(key), maxKeyLen)
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || name[0] == '.' || len(name) > maxNameLen {
			return fmt.Errorf("%w: %q has an empty name, one that begins with a dot or one above %d bytes", ErrInvalidKey, key, maxNameLen)
		}
		for i := range len(name) {
			if !keyByte(name[i]) {
				return fmt.Errorf("%w: %q contains %q; allowed are A-Z a-z 0-9 - _ . =", ErrInvalidKey, key, name[i])
			}
		}
	}
	return nil
}

// ValidatePrefix checks that prefix can begin a key; "" begins all.
func ValidatePrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	// What a key continues with after a slash is any name, so "x" stands for all of them.
	if strings.HasSuffix(prefix, "/") {
		return ValidateKey(prefix + "x")
	}
	return ValidateKey(prefix)
}

func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' || c == '='
}
