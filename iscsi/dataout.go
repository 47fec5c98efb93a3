package iscsi

import "slices"

// solicit has the initiator send the next burst of data-out, when there is memory for
// it. Commands get memory in their order. The caller holds c.mu, as do those of the
// functions below.
func (c *conn) solicit(t *task) {
	if t.room == t.provided {
		c.ask(t)
		return
	}
	c.pending = append(c.pending, t)
	c.solicitPending()
}

// solicitPending solicits data-out as far as there is memory.
func (c *conn) solicitPending() {
	for len(c.pending) > 0 && !c.closed {
		t := c.pending[0]
		need := t.room - t.provided
		if c.outMemory+blockBytes(need) > memory {
			return
		}
		c.pending = slices.Delete(c.pending, 0, 1)
		t.reserved = blockBytes(need)
		c.outMemory += t.reserved
		t.provide(need)
		c.ask(t)
	}
}

// ask sends an R2T for the next burst.
func (c *conn) ask(t *task) {
	n := min(c.params.maxBurst, t.room-t.got)
	c.lastTag++
	if c.lastTag == noTag {
		c.lastTag = 1
	}
	t.targetTag, t.asked, t.dataSN, t.end = c.lastTag, true, 0, t.got+n
	h := t.header.answer(opR2T)
	copy(h[8:16], t.header[8:16])
	h.setWord(20, t.targetTag)
	h.setWord(24, c.statSN) // the next, which it does not count
	h.setWord(36, t.r2tSN)
	h.setWord(40, uint32(t.got))
	h.setWord(44, uint32(n))
	t.r2tSN++
	c.send(&h, nil, false)
}

// dataOut takes data-out of a command. If that is not what was asked for, or was
// damaged, the command fails at the end of the burst (RFC 7143, 7.8 (Digest Errors) and
// 7.9 (Sequence Errors), for level 0).
func (c *conn) dataOut(h *header) error {
	c.mu.Lock()
	i := slices.IndexFunc(c.waiting, func(t *task) bool { return t.header.tag() == h.tag() })
	if i < 0 { // of a command that was aborted
		c.mu.Unlock()
		return c.in.drop()
	}
	t := c.waiting[i]
	n := h.dataBytes()
	right := t.asked && h.targetTag() == t.targetTag
	if t.unsolicited {
		right = h.targetTag() == noTag
	}
	if !right || h.word(36) != t.dataSN || h.word(40) != uint32(t.got) || n > t.end-t.got {
		t.fail(incorrectData)
	}
	var bufs [][]byte
	if t.failure == nil {
		bufs = t.part(c.scratch[:0], t.got, n)
	}
	c.mu.Unlock()
	err := c.in.into(bufs) // the task stays: only this goroutine removes it
	if err != nil && err != errDataDigest {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		r := c.rejection(dataDigestError)
		c.send(&r, h[:], true)
		t.fail(damagedData)
	}
	t.dataSN++
	if t.failure == nil {
		t.got += n
	}
	switch {
	case t.failure == nil && t.got == t.end: // with or without the F bit
	case !h.flag(final):
		return nil
	case !t.unsolicited:
		t.fail(incorrectData)
	}
	t.unsolicited, t.asked = false, false
	switch {
	case t.failure != nil:
		c.window.completed(&t.header)
		c.respond(t, Result{Status: checkCondition, Sense: t.failure}, false)
		c.forget(t)
	case t.complete():
		c.waiting = slices.Delete(c.waiting, i, i+1)
		return c.startLocked(t)
	default:
		c.solicit(t)
	}
	return nil
}

// forget removes a task that waits for data-out.
func (c *conn) forget(t *task) {
	same := func(other *task) bool { return other == t }
	c.waiting = slices.DeleteFunc(c.waiting, same)
	c.pending = slices.DeleteFunc(c.pending, same)
	t.free()
	c.releaseOut(t)
	c.recycle(t)
}

// The sense data of commands that fail for reasons of the transport, in fixed format
// (RFC 7143, 11.4.7.2): ABORTED COMMAND.
var (
	incorrectData = []byte{0: 0x70, 2: 0x0b, 7: 10, 12: 0x0c, 13: 0x0d, 17: 0}
	damagedData   = []byte{0: 0x70, 2: 0x0b, 7: 10, 12: 0x47, 13: 0x05, 17: 0}
	cleared       = []byte{0: 0x70, 2: 0x0b, 7: 10, 12: 0x2f, 17: 0} // by another initiator
)

// releaseOut gives memory back, and has the next commands that wait for it send their
// data. The caller holds c.mu.
func (c *conn) releaseOut(t *task) {
	c.outMemory -= t.reserved
	t.reserved = 0
	c.solicitPending()
}

// dropWaiting drops commands whose data-out has not arrived. Only the goroutine that
// reads may call it: it may be receiving such data.
func (c *conn) dropWaiting(which func(*task) bool) (dropped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range slices.Clone(c.waiting) {
		if !which(t) {
			continue
		}
		dropped = true
		c.window.completed(&t.header)
		c.forget(t)
	}
	return dropped
}
