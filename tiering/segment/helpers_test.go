package segment

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
)

// memory is a source in memory that counts requests.
type memory struct {
	b        []byte
	requests atomic.Int64
	bytes    atomic.Int64
}

func (m *memory) GetRange(_ context.Context, dst []byte, off int64) error {
	m.requests.Add(1)
	m.bytes.Add(int64(len(dst)))
	if off < 0 || off+int64(len(dst)) > int64(len(m.b)) {
		return fmt.Errorf("%w: range [%d, +%d) of %d", tiering.ErrCorrupt, off, len(dst), len(m.b))
	}
	copy(dst, m.b[off:])
	return nil
}

// row is a record as it is added.
type row struct {
	queue  message.Queue
	offset message.Offset
	time   int64
	entry  message.Entry
	keys   []uint64
	record []byte
}

func newRow(queue message.Queue, offset message.Offset, time int64, body []byte, keys ...string) row {
	r := row{queue: queue, offset: offset, time: time}
	r.record = message.Record{Type: message.RecordMessage, Topic: queue.Topic, Body: body}.AppendTo(nil)
	r.entry = message.Entry{
		Position: message.Position(1000 + int(offset)*16), Size: uint32(len(r.record)),
		TagHash: message.TagHash(fmt.Sprintf("tag%d", offset%3)), OrderKey: message.OrderKey(fmt.Sprintf("group%d", offset%2)),
	}
	for _, key := range keys {
		r.keys = append(r.keys, message.IndexKey(queue.Topic, message.IndexByKey, key))
	}
	return r
}

func testConfig(codec Codec, blockSize int) WriterConfig {
	return WriterConfig{Shard: 7, Epoch: 3, LogStart: 1000, LogEnd: 1 << 40, Class: Class7d, Codec: codec, BlockSize: blockSize}
}

func write(t interface {
	Helper()
	Fatal(args ...any)
}, config WriterConfig, rows []row,
) ([]byte, Sealed) {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, config)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Add(r.queue, r.offset, r.time, r.entry, r.keys, r.record); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if sealed.Size != int64(buf.Len()) {
		t.Fatal(fmt.Sprintf("sealed says %d bytes, written were %d", sealed.Size, buf.Len()))
	}
	return buf.Bytes(), sealed
}

func openBytes(t *testing.T, b []byte) (*Reader, *memory) {
	t.Helper()
	src := &memory{b: b}
	r, err := Open(t.Context(), src, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return r, src
}
