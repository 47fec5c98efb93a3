package iscsi

import "encoding/binary"

// The statuses of SAM that the transport itself knows.
const (
	good           = 0x00
	checkCondition = 0x02
)

// respond sends data-in and status of a command. With placed the data-in is where the
// sender placed it. The caller holds c.mu.
func (c *conn) respond(t *task, r Result, placed bool) {
	residual, flag := t.residual(r)
	n := 0
	if !t.out && r.Status == good {
		n = min(int(r.Length), t.room)
	}
	if n > 0 {
		c.dataIn(t, n, residual, flag, placed)
		return
	}
	h := t.header.answer(opResponse)
	h[1] |= flag
	h[3] = r.Status
	h.setWord(36, t.r2tSN) // ExpDataSN: R2Ts count as well
	h.setWord(44, residual)
	var sense []byte
	if len(r.Sense) > 0 {
		sense = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(r.Sense)), uint16(len(r.Sense))), r.Sense...)
	}
	c.send(&h, sense, true)
}

// residual returns the residual count of a command and its flag (RFC 7143, 11.4.5).
func (t *task) residual(r Result) (count uint32, flag byte) {
	expected, length := t.expected(), int64(r.Length)
	right := t.header.flag(writes)
	if !t.out {
		right = t.header.flag(reads)
	}
	if r.Status != good {
		if t.out || !right || expected == 0 {
			return 0, 0
		}
		return uint32(expected), underflow
	}
	if length > 0 && !right {
		expected = 0
	}
	switch {
	case length > expected:
		return uint32(length - expected), overflow
	case length < expected:
		return uint32(expected - length), underflow
	}
	return 0, 0
}

// dataIn sends n bytes of data-in, with the status GOOD in the last PDU.
func (c *conn) dataIn(t *task, n int, residual uint32, flag byte, placed bool) {
	most := min(c.params.maxSend, maxDataSegment)
	for off, sn := 0, uint32(0); off < n; sn++ {
		part := min(most, n-off, c.params.maxBurst-off%c.params.maxBurst)
		h := t.header.answer(opDataIn)
		h[1] = 0
		h.setWord(20, noTag)
		h.setWord(36, sn)
		h.setWord(40, uint32(off))
		last := off+part == n
		if last || (off+part)%c.params.maxBurst == 0 {
			h[1] = final
		}
		if last {
			h[1] |= hasStatus | flag
			h.setWord(44, residual)
		}
		c.number(&h, last)
		if placed {
			c.out.addPlaced(&h, part)
		} else {
			c.out.add(&h, t.data[0][off:off+part])
		}
		off += part
	}
}
