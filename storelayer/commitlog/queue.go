package commitlog

import "sync"

// queue holds admitted requests until the encoder takes them, bounded by their bytes.
type queue struct {
	wake chan struct{} // holds one token when there is something to take

	mu struct {
		sync.Mutex
		waiting []*Request
		bytes   int64 // of requests that were admitted and are not written
		max     int64
		roll    bool
		closed  error // why no more are admitted
	}
}

func (q *queue) init(maxBytes int64) {
	q.wake = make(chan struct{}, 1)
	q.mu.max = maxBytes
}

// push admits r. One request above the bound is admitted when nothing else waits.
func (q *queue) push(r *Request) error {
	q.mu.Lock()
	if q.mu.closed != nil {
		defer q.mu.Unlock()
		return q.mu.closed
	}
	if q.mu.bytes > 0 && q.mu.bytes+r.size > q.mu.max {
		q.mu.Unlock()
		return ErrOverloaded
	}
	q.mu.bytes += r.size
	q.mu.waiting = append(q.mu.waiting, r)
	first := len(q.mu.waiting) == 1
	q.mu.Unlock()
	if first {
		signal(q.wake)
	}
	return nil
}

func (q *queue) askRoll() {
	q.mu.Lock()
	q.mu.roll = true
	q.mu.Unlock()
	signal(q.wake)
}

// take swaps the waiting requests for the empty slice that the caller has done with.
func (q *queue) take(empty []*Request) (reqs []*Request, roll bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	reqs, roll = q.mu.waiting, q.mu.roll
	q.mu.waiting, q.mu.roll = empty, false
	return reqs, roll
}

// written gives back the room of requests that were written.
func (q *queue) written(bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.bytes -= bytes
}

// close admits no more and returns what was waiting. The first reason stays.
func (q *queue) close(err error) []*Request {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.closed == nil {
		q.mu.closed = err
	}
	reqs := q.mu.waiting
	q.mu.waiting = nil
	return reqs
}
