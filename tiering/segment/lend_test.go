package segment

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stratamq/stratamq/message"
)

// TestLendWritesWhatAddWrites lends records in batches that lie in one buffer, which is overwritten after each, now and
// then with a hole between two of them or one that is added instead.
func TestLendWritesWhatAddWrites(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		var rows []row
		for id := range 3 {
			q := message.Queue{Topic: 5, ID: message.QueueID(id)}
			for i := range random.IntN(200) {
				body := bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(100))
				rows = append(rows, newRow(q, message.Offset(i), int64(i), body, fmt.Sprintf("key%d", i%7)))
			}
		}
		for _, codec := range []Codec{CodecNone, CodecS2, CodecZstd} {
			config := testConfig(codec, 1000)
			want, _ := write(t, config, rows)
			var got bytes.Buffer
			w, err := NewWriter(&got, config)
			if err != nil {
				t.Fatal(err)
			}
			memory := make([]byte, 1<<16)
			for rest := rows; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(60))
				at := 0
				for _, r := range rest[:n] {
					if random.IntN(20) == 0 {
						at++
					}
					record := memory[at : at+copy(memory[at:], r.record)]
					at += len(record)
					add := w.Lend
					if random.IntN(20) == 0 {
						add = w.Add
					}
					if err := add(r.queue, r.offset, r.time, r.entry, r.keys, record); err != nil {
						t.Fatal(err)
					}
				}
				w.Keep()
				clear(memory)
				rest = rest[n:]
			}
			if _, err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("seed %d, %v: lent records make another object", seed, codec)
			}
		}
	}
}
