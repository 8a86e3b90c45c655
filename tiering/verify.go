package tiering

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

const readBackStep = 4 << 20 // bytes

// ReadChecksum reads a whole object of size bytes and returns its CRC32C.
func ReadChecksum(ctx context.Context, store ObjectStore, key string, size int64) (uint32, error) {
	buf := make([]byte, min(size, readBackStep))
	crc := uint32(0)
	for off := int64(0); off < size; {
		step := buf[:min(int64(len(buf)), size-off)]
		if err := store.GetRange(ctx, key, step, off); err != nil {
			return 0, err
		}
		crc = UpdateChecksum(crc, step)
		off += int64(len(step))
	}
	return crc, nil
}

// Verify checks that an object that was just put is there with these bytes. Where the server was proved to refuse
// bytes that do not match their checksum, its size is looked at, and its checksum if there is one; else all of it is
// read back. It fails with ErrNotFound or ErrCorrupt.
func Verify(ctx context.Context, store ObjectStore, caps Capabilities, key string, size int64, crc uint32) error {
	info, err := store.Head(ctx, key)
	if err != nil {
		return err
	}
	if info.Size != size {
		return &OpError{Op: "verify", Key: key, Err: fmt.Errorf("%w: stored are %d bytes, written were %d", ErrCorrupt, info.Size, size)}
	}
	stored := crc
	switch {
	case caps.ChecksumVerified && caps.ChecksumReturned && info.HasCRC32C:
		stored = info.CRC32C
	case caps.ChecksumVerified:
	default:
		if stored, err = ReadChecksum(ctx, store, key, size); err != nil {
			return err
		}
	}
	if stored != crc {
		return &OpError{Op: "verify", Key: key, Err: fmt.Errorf("%w: stored is CRC32C %08x, written was %08x", ErrCorrupt, stored, crc)}
	}
	return nil
}

// PutOnce stores a small object whose key says what its bytes must be, such as a manifest entry: if the key is taken,
// equal bytes are a success and others fail with ErrExists. It may be repeated after any error. Without conditional
// puts it looks first; then two writers with different bytes are not kept apart, and the bytes are read back.
func PutOnce(ctx context.Context, store ObjectStore, caps Capabilities, key string, body []byte) error {
	opts := PutOptions{IfAbsent: caps.ConditionalPut, HasCRC32C: true, CRC32C: Checksum(body)}
	if !caps.ConditionalPut {
		err := compareStored(ctx, store, key, body)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	err := store.Put(ctx, key, bytes.NewReader(body), int64(len(body)), opts)
	if errors.Is(err, ErrExists) {
		return compareStored(ctx, store, key, body)
	}
	if err != nil {
		return err
	}
	if !caps.ConditionalPut || !caps.ChecksumVerified {
		return compareStored(ctx, store, key, body)
	}
	return nil
}

// compareStored returns nil if the object has exactly these bytes, ErrExists if it has others.
func compareStored(ctx context.Context, store ObjectStore, key string, body []byte) error {
	info, err := store.Head(ctx, key)
	if err != nil {
		return err
	}
	if info.Size == int64(len(body)) {
		stored := make([]byte, len(body))
		if err := store.GetRange(ctx, key, stored, 0); err != nil {
			return err
		}
		if bytes.Equal(stored, body) {
			return nil
		}
	}
	return &OpError{Op: "put", Key: key, Err: fmt.Errorf("%w: with other bytes", ErrExists)}
}
