package iscsi

// The responses of RFC 7143, 11.6.1.
const (
	functionComplete     = 0
	taskDoesNotExist     = 1
	lunDoesNotExist      = 2
	reassignNotSupported = 4
	functionNotSupported = 5
)

// manage takes a task management function. Of the commands that it affects, those
// whose data-out has not arrived and those that wait for a worker are dropped without
// a response. Those that are being executed complete, and have their responses before
// the function has its own. What clears a logical unit also has commands of other
// sessions fail, unless they are being executed.
func (c *conn) manage(h *header) error {
	if err := c.in.drop(); err != nil {
		return err
	}
	f, lun := Function(h[1]&0x7f), h.lun()
	var affects func(*task) bool
	switch f {
	case AbortTask:
		affects = func(t *task) bool { return t.header.tag() == h.word(20) && t.header.lun() == lun }
	case AbortTaskSet, ClearTaskSet, LogicalUnitReset:
		affects = func(t *task) bool { return t.header.lun() == lun }
	case TargetWarmReset, TargetColdReset:
		affects = func(*task) bool { return true }
	default:
		const reassign = 8
		a := h.answer(opManaged)
		a[2] = functionNotSupported
		if f == reassign {
			a[2] = reassignNotSupported
		}
		c.answer(a, nil)
		return nil
	}
	if c.managers.Add(1) > maxImmediate {
		c.managers.Add(-1)
		c.answer(c.rejection(tooManyCommands), h[:])
		return nil
	}
	response := byte(functionComplete)
	found := c.dropWaiting(affects)
	found = c.abortActive(affects) || found
	if f == AbortTask && !found {
		response = taskDoesNotExist
	}
	if !c.nexus.Manage(f, lun) {
		response = lunDoesNotExist
	}
	a := h.answer(opManaged)
	a[2] = response
	tag := h.word(20)
	c.workers.Go(func() {
		defer c.managers.Add(-1)
		if f != AbortTask && f != AbortTaskSet {
			c.target.clearOthers(c, affects) // may have to wait for the initiators of others
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if f == AbortTask {
			affects = func(t *task) bool { return t.header.tag() == tag && t.header.lun() == lun }
		}
		c.awaitActive(affects)
		c.send(&a, nil, true)
		c.out.flush()
		if f == TargetColdReset {
			c.net.Close()
		}
	})
	return nil
}

// clearOthers has commands of other sessions fail that are not being executed.
func (t *Target) clearOthers(c *conn, which func(*task) bool) {
	t.mu.Lock()
	others := make([]*conn, 0, len(t.sessions))
	for _, other := range t.sessions {
		if other != c {
			others = append(others, other)
		}
	}
	t.mu.Unlock()
	for _, other := range others {
		other.clear(which)
	}
}

func (c *conn) clear(which func(*task) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range [][]*task{c.waiting, c.active} {
		for _, t := range list {
			if which(t) && !t.running {
				t.fail(cleared)
				t.release()
			}
		}
	}
}

// abortActive aborts commands that wait for a worker, and reports whether there are
// any or some that are being executed.
func (c *conn) abortActive(which func(*task) bool) (found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.active {
		if which(t) {
			found = true
			t.aborted = t.aborted || !t.running
			t.release()
		}
	}
	c.done.Broadcast()
	return found
}

// awaitActive waits for the commands that are with workers now. The caller holds c.mu.
func (c *conn) awaitActive(which func(*task) bool) {
	last := c.last
	for {
		left := false
		for _, t := range c.active {
			left = left || t.number <= last && which(t)
		}
		if !left || c.closed {
			return
		}
		c.done.Wait()
	}
}
