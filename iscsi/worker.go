package iscsi

import (
	"errors"
	"slices"
	"time"
)

// start passes a task to a worker.
func (c *conn) start(t *task) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.startLocked(t)
}

// startLocked is start with c.mu held.
func (c *conn) startLocked(t *task) error {
	if !t.judged {
		t.later, t.judged = c.nexus.Judge(t.header.lun(), t.cdb, t.data), true
	}
	c.last++
	t.number = c.last
	c.active = append(c.active, t)
	if t.later != nil && t.later.After > 0 {
		c.hold(t)
		return nil
	}
	return c.enqueue(t)
}

// enqueue queues an active task, and starts a worker if none is idle. The queue has room
// for all commands that the window lets in: an error, which ends the session, is a fault
// of this package. The caller holds c.mu.
func (c *conn) enqueue(t *task) error {
	select {
	case c.queue <- t:
	default:
		c.finish(t)
		return errQueue
	}
	if int(c.idle.Load()) < len(c.queue) && c.started < maxWorkers {
		c.started++
		c.workers.Go(c.work)
	}
	return nil
}

var errQueue = errors.New("more commands than the window lets in")

// work executes the tasks of the queue.
func (c *conn) work() {
	for {
		c.idle.Add(1)
		t, more := <-c.queue
		c.idle.Add(-1)
		if !more {
			return
		}
		c.perform(t)
	}
}

// perform executes and completes a task, unless it is aborted.
func (c *conn) perform(t *task) {
	if !c.begin(t) {
		return
	}
	lun := t.header.lun()
	var r Result
	if t.later != nil {
		r = t.later.Execute(t.cdb, t.data)
	} else {
		r, _ = c.nexus.Execute(lun, t.cdb, t.data, true)
	}
	c.nexus.Executed(lun, t.cdb, t.data, r, time.Since(t.arrived))

	c.mu.Lock()
	defer c.mu.Unlock()
	c.window.completed(&t.header)
	c.respond(t, r, false)
	c.out.flush() // it sends the data, and so lets it go
	c.finish(t)
}

// begin provides the memory for data-in, and reports whether the task is to be
// executed.
func (c *conn) begin(t *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.out && t.room > 0 {
		for c.inMemory+blockBytes(t.room) > memory && !c.closed && !t.aborted {
			c.done.Wait()
		}
	}
	if t.failure != nil && !c.closed && !t.aborted {
		c.window.completed(&t.header)
		c.respond(t, Result{Status: checkCondition, Sense: t.failure}, false)
		c.finish(t)
		return false
	}
	if c.closed || t.aborted {
		c.window.completed(&t.header)
		c.finish(t)
		return false
	}
	if !t.out {
		c.inMemory += blockBytes(t.room)
		t.provide(t.room)
	}
	t.running = true
	return true
}

// finish removes a task that has ended. The caller holds c.mu.
func (c *conn) finish(t *task) {
	c.active = slices.DeleteFunc(c.active, func(other *task) bool { return other == t })
	if !t.out && t.provided > 0 {
		c.inMemory -= blockBytes(t.room)
	}
	t.free()
	c.releaseOut(t)
	c.recycle(t)
	c.out.flush()
	c.done.Broadcast()
}
