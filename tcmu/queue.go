package tcmu

import "sync"

// A queue holds the commands that wait for a worker, and those that wait to be
// used again. It is safe for concurrent use.
type queue struct {
	mu          sync.Mutex
	more        sync.Cond // there is a command to take, or closed
	first, last *command
	free        *command
	idle        int // workers in take
	closed      bool
}

func newQueue() *queue {
	q := &queue{}
	q.more.L = &q.mu
	return q
}

// blank returns a command to fill in.
func (q *queue) blank() *command {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.free
	if c == nil {
		return new(command)
	}
	q.free, c.next = c.next, nil
	return c
}

// recycle takes back what blank returned.
func (q *queue) recycle(c *command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.next, q.free = q.free, c
}

// put appends c, and says whether no worker is waiting for it.
func (q *queue) put(c *command) (shorthanded bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	if q.idle == 0 {
		return true
	}
	q.idle-- // this command's; take does not count itself out again
	q.more.Signal()
	return false
}

// take waits for a command. It returns nil when the queue is closed and empty.
func (q *queue) take() *command {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.first == nil {
		if q.closed {
			return nil
		}
		q.idle++
		q.more.Wait()
	}
	c := q.first
	q.first, c.next = c.next, nil
	if q.first == nil {
		q.last = nil
	}
	return c
}

// close ends every take once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}
