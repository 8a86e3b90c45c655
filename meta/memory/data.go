package memory

import (
	"fmt"
	"slices"
	"sync"

	"github.com/stratamq/stratamq/meta"
)

// Data is what a store's disk would hold.
type Data struct {
	mu struct {
		sync.Mutex
		buckets map[meta.Bucket]*bucketData
	}
}

type bucketData struct {
	revision uint64 // of the newest write or deletion
	values   map[string]cell
	watches  map[*watch]struct{}
}

type cell struct {
	encoded  []byte // never changed in place
	revision uint64
}

// NewData returns an empty disk.
func NewData() *Data {
	d := &Data{}
	d.mu.buckets = make(map[meta.Bucket]*bucketData)
	for _, b := range meta.Buckets() {
		d.mu.buckets[b] = &bucketData{values: make(map[string]cell), watches: make(map[*watch]struct{})}
	}
	return d
}

// Damage flips one bit in the middle of a stored value.
func (d *Data) Damage(bucket meta.Bucket, key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.mu.buckets[bucket]
	c, ok := b.values[key]
	if !ok {
		return fmt.Errorf("%w: %s/%s", meta.ErrNotFound, bucket, key)
	}
	c.encoded = slices.Clone(c.encoded)
	c.encoded[len(c.encoded)/2] ^= 1
	b.values[key] = c
	return nil
}

func (c cell) decode() (meta.Value, error) {
	e, err := meta.DecodeEnvelope(slices.Clone(c.encoded))
	if err != nil {
		return meta.Value{}, err
	}
	return meta.Value{Envelope: e, Revision: c.revision}, nil
}
