package iscsi

import (
	"slices"
	"time"
)

// command takes a SCSI command, and executes it, passes it to a worker, or waits for
// its data-out.
func (c *conn) command(h *header, ahs []byte) error {
	if h.immediate() && c.immediates() >= maxImmediate {
		return c.reject(h, tooManyCommands)
	}
	t := &c.quick
	t.reset(h)
	var ok bool
	if t.cdb, ok = extendedCDB(t.cdbRoom[:0], h, ahs); !ok {
		return c.refuse(h, invalidPDUField)
	}
	var room int64
	t.out, room = c.nexus.Transfer(h.lun(), t.cdb, t.expected())
	switch {
	case t.out != h.flag(writes) || !t.out && !h.flag(reads): // data in the wrong direction, or none
	case room > memory: // it cannot be executed, and says so
	default:
		t.room = int(room)
	}
	if h.flag(writes) {
		return c.commandWithData(t)
	}
	if err := c.in.drop(); err != nil {
		return err
	}
	return c.execute(t)
}

// immediates returns the number of immediate commands that are not completed.
func (c *conn) immediates() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, list := range [][]*task{c.waiting, c.active} {
		for _, t := range list {
			if t.header.immediate() {
				n++
			}
		}
	}
	return n
}

// commandWithData takes a command with data-out, some of which may be in the PDU.
func (c *conn) commandWithData(t *task) error {
	h := &t.header
	n := h.dataBytes()
	if int64(n) > t.expected() || n > c.params.firstBurst || n > 0 && !c.params.immediateData {
		return c.refuse(h, protocolError)
	}
	t.unsolicited = !h.flag(final) && !c.params.initialR2T
	if n <= maxSmall && n >= t.room && !t.unsolicited {
		data, err := c.in.small()
		if err != nil {
			return c.badData(h, err)
		}
		if t.room > 0 {
			t.dataRoom[0] = data[:t.room]
			t.data = t.dataRoom[:1]
		}
		t.got = n
		return c.execute(t)
	}
	t = c.keep(t)
	first := n
	if t.unsolicited {
		t.end = int(min(t.expected(), int64(c.params.firstBurst)))
		first = t.end
	}
	t.provide(min(first, t.room))
	if err := c.in.into(t.part(c.scratch[:0], 0, n)); err != nil {
		t.free()
		return c.badData(h, err)
	}
	t.got = n
	if t.complete() {
		return c.start(t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.waiting, func(w *task) bool { return w.header.tag() == h.tag() }) {
		t.free()
		c.recycle(t)
		c.refuseLocked(h)
		return errProtocol
	}
	c.waiting = append(c.waiting, t)
	if !t.unsolicited {
		c.solicit(t)
	}
	return nil
}

// badData is the error of a data segment that did not arrive as it was sent.
func (c *conn) badData(h *header, err error) error {
	if err == errDataDigest {
		c.answer(c.rejection(dataDigestError), h[:])
	}
	return err
}

func (c *conn) refuseLocked(h *header) {
	r := c.rejection(protocolError)
	c.send(&r, h[:], true)
}

// keep returns a copy of the quick task. Data that is in the receive buffer is copied
// as well.
func (c *conn) keep(quick *task) *task {
	c.mu.Lock()
	var t *task
	if n := len(c.unused); n > 0 {
		t, c.unused = c.unused[n-1], c.unused[:n-1]
	} else {
		t = new(task)
	}
	c.mu.Unlock()
	*t = *quick
	t.cdb = t.cdbRoom[:len(quick.cdb)]
	if t.data != nil {
		t.data, t.dataRoom[0] = nil, nil
		t.provide(t.room)
		copy(t.data[0], quick.data[0])
	}
	return t
}

// recycle makes a task without memory available to keep. The caller holds c.mu.
func (c *conn) recycle(t *task) { c.unused = append(c.unused, t) }

// execute executes the quick task, or passes it to a worker if that may take long.
func (c *conn) execute(t *task) error {
	if t.out || t.room <= min(quickBytes, c.params.maxSend, c.params.maxBurst) {
		if c.attempt(t) {
			return nil
		}
	}
	return c.start(c.keep(t))
}

// attempt executes and completes the quick task, and reports whether it did not have
// to wait.
func (c *conn) attempt(t *task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !t.out && t.room > 0 {
		t.dataRoom[0] = c.out.place(t.room)
		t.data = t.dataRoom[:1]
	}
	lun := t.header.lun()
	r, err := c.nexus.Execute(lun, t.cdb, t.data, false)
	t.judged = true
	if err != nil {
		t.later, _ = err.(*Later)
		if !t.out {
			t.data, t.dataRoom[0] = nil, nil
		}
		return false
	}
	c.nexus.Executed(lun, t.cdb, t.data, r, time.Since(t.arrived))
	c.window.completed(&t.header)
	c.respond(t, r, true)
	return true
}
