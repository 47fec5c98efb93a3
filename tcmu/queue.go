package tcmu

import "sync"

// A queue holds the commands that wait for a worker, and unused ones. It is safe
// for concurrent use.
type queue struct {
	mu          sync.Mutex
	more        sync.Cond // signaled by put and close
	first, last *command
	free        *command // unused
	idle        int      // workers in take
	workers     int      // that put has asked for
	closed      bool
}

func newQueue() *queue {
	q := &queue{}
	q.more.L = &q.mu
	return q
}

// newCommand returns an unused command.
func (q *queue) newCommand() *command {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.free
	if c == nil {
		return new(command)
	}
	q.free, c.next = c.next, nil
	return c
}

// recycle makes a command available to newCommand.
func (q *queue) recycle(c *command) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c.next, q.free = q.free, c
}

// put appends c, and reports whether the caller must start a worker for it.
func (q *queue) put(c *command) (start bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
	if q.idle == 0 && q.workers == maxWorkers {
		return false
	}
	if q.idle == 0 {
		q.workers++
		return true
	}
	q.idle-- // the worker that Signal wakes; take does not decrement
	q.more.Signal()
	return false
}

// take removes the first command, and waits for one if there is none. It returns
// nil when the queue is closed and empty.
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

// close makes take return nil once the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}
