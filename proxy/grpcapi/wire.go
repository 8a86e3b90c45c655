package grpcapi

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// errMalformed says that bytes are not the protobuf message they should be.
var errMalformed = errors.New("malformed protobuf")

// fields goes through the fields of one protobuf message in place, with the rules of the generated
// decoder: a field of another wire type than expected is an unknown one and passed over, a text must
// be UTF-8, the end of a group that never began is an error.
//
//	for f := (fields{rest: src}); f.next(); {
//		switch f.number {
//		case 1:
//			if text, ok := f.text(); ok { … }
//		default:
//			f.skip()
//		}
//	}
//
// Each turn takes exactly one value: by text, bytes, varint or skip. Slices it gives alias the message.
type fields struct {
	rest   []byte
	number protowire.Number
	typ    protowire.Type
	failed bool
}

// next reads the tag of the next field; it is false at the end of the message and after an error.
func (f *fields) next() bool {
	if f.failed || len(f.rest) == 0 {
		return false
	}
	number, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 || number > protowire.MaxValidNumber {
		f.failed = true
		return false
	}
	f.rest, f.number, f.typ = f.rest[n:], number, typ
	return true
}

// skip passes over the value, a whole group if it begins one.
func (f *fields) skip() {
	f.advance(protowire.ConsumeFieldValue(f.number, f.typ, f.rest))
}

// advance moves behind a value of n bytes; a negative n is an error of protowire.
func (f *fields) advance(n int) bool {
	if n < 0 {
		f.failed = true
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// bytes takes the value as bytes or an embedded message; it is never nil if ok.
func (f *fields) bytes() (value []byte, ok bool) {
	if f.typ != protowire.BytesType {
		f.skip()
		return nil, false
	}
	value, n := protowire.ConsumeBytes(f.rest)
	return value, f.advance(n)
}

// text takes the value as a string.
func (f *fields) text() (value []byte, ok bool) {
	value, ok = f.bytes()
	if ok && !utf8.Valid(value) {
		f.failed = true
		return nil, false
	}
	return value, ok
}

// varint takes the value as an integer or an enum.
func (f *fields) varint() (value uint64, ok bool) {
	if f.typ != protowire.VarintType {
		f.skip()
		return 0, false
	}
	value, n := protowire.ConsumeVarint(f.rest)
	return value, f.advance(n)
}

// err returns [errMalformed] if the message ended early.
func (f *fields) err() error {
	if f.failed {
		return errMalformed
	}
	return nil
}
