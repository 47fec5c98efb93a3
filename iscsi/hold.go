package iscsi

import "time"

// hold has an active task wait until it may be executed. The caller holds c.mu.
func (c *conn) hold(t *task) {
	held := make(chan struct{})
	t.held = held
	c.holding.Go(func() {
		after := time.NewTimer(t.later.After)
		defer after.Stop()
		select {
		case <-after.C:
		case <-t.later.Release:
		case <-held:
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		t.held = nil
		if c.enqueue(t) != nil {
			c.net.Close()
		}
	})
}

// release has a task wait no longer. The caller holds c.mu.
func (t *task) release() {
	if t.held != nil {
		close(t.held)
		t.held = nil
	}
}

// releaseAll releases all tasks. The caller holds c.mu.
func (c *conn) releaseAll() {
	for _, t := range c.active {
		t.release()
	}
}
