package message

import (
	"bytes"
	"fmt"
	"iter"
)

// Properties are stored as one text,
//
//	key \x01 value \x02 key \x01 value \x02 …
//
// so neither separator may be in a key or a value: it would cut one property into several, and let a
// producer write the ones that are the broker's. [AppendProperty] is what joins, and refuses them; a
// text that was joined by somebody else goes through [CheckProperties] first.
const (
	propertyValueMark = 0x01 // between a key and its value
	propertyEndMark   = 0x02 // behind each property
)

// AppendProperty appends a property to the joined text in dst. It fails with [ErrInvalid], dst as it
// was, if the key is empty or if key or value contain a separator. Other control characters are the
// protocols' business. The same key twice: readers see the last one.
func AppendProperty[K, V ~string | ~[]byte](dst []byte, key K, value V) ([]byte, error) {
	if len(key) == 0 || hasPropertyMark(key) {
		return dst, fmt.Errorf("%w: property key %q", ErrInvalid, string(key))
	}
	if hasPropertyMark(value) {
		return dst, fmt.Errorf("%w: a separator in the value of property %q", ErrInvalid, string(key))
	}
	dst = append(dst, key...)
	dst = append(dst, propertyValueMark)
	dst = append(dst, value...)
	return append(dst, propertyEndMark), nil
}

func hasPropertyMark[T ~string | ~[]byte](text T) bool {
	for i := range len(text) {
		if text[i] == propertyValueMark || text[i] == propertyEndMark {
			return true
		}
	}
	return false
}

// CheckProperties tells whether a text that a client joined is well-formed: every property has a key
// that is not empty and exactly one separator before its value. The last end mark may be missing, as
// some clients leave it out. It fails with [ErrInvalid].
func CheckProperties(joined []byte) error {
	for len(joined) > 0 {
		property, rest, _ := bytes.Cut(joined, []byte{propertyEndMark})
		joined = rest
		key, value, ok := bytes.Cut(property, []byte{propertyValueMark})
		if !ok || len(key) == 0 || bytes.IndexByte(value, propertyValueMark) >= 0 {
			return fmt.Errorf("%w: property %q", ErrInvalid, property)
		}
	}
	return nil
}

// EachProperty goes through a joined text in its order; keys and values alias it. Pieces without a
// key or without a separator are passed over, as every client does.
func EachProperty(joined []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for len(joined) > 0 {
			property := joined
			if i := bytes.IndexByte(joined, propertyEndMark); i >= 0 {
				property, joined = joined[:i], joined[i+1:]
			} else {
				joined = nil
			}
			i := bytes.IndexByte(property, propertyValueMark)
			if i > 0 && !yield(property[:i:i], property[i+1:len(property):len(property)]) {
				return
			}
		}
	}
}

// Property returns the value of a key, the last one if there are several; the value aliases joined.
func Property(joined []byte, key string) (value []byte, ok bool) {
	for k, v := range EachProperty(joined) {
		if string(k) == key {
			value, ok = v, true
		}
	}
	return value, ok
}
