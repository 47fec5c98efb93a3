package iscsi

import (
	"hash/crc32"
	"io"
	"net"
	"sync/atomic"
)

const (
	sendBytes = 128 << 10

	// maxCopied is the longest data segment that is copied to the buffer: a copy of
	// that much costs less than an element of writev.
	maxCopied = 8 << 10

	maxVector = 128 // elements of the vector

	// maxPortion is what an initiator must take in quietTime, about: 17 kB/s.
	maxPortion = 512 << 10
)

// A sender sends PDUs. It collects them until flush. The lock of the connection
// protects it, except for its clock.
type sender struct {
	to    io.Writer
	clock *atomic.Int64

	headerDigest, dataDigest bool

	buf    []byte // never grows
	sent   int    // buf[:sent] is in vector
	vector net.Buffers
	rest   net.Buffers // of vector, while it is written
	err    error       // the first

	began atomic.Int64 // when the write that is in progress began, or 0
}

func newSender(to io.Writer, clock *atomic.Int64) *sender {
	return &sender{to: to, clock: clock, buf: make([]byte, 0, sendBytes), vector: make(net.Buffers, 0, maxVector+2)}
}

// add adds a PDU. A data segment that is longer than maxCopied must stay as it is
// until flush.
func (s *sender) add(h *header, data []byte) {
	room := s.overhead()
	if len(data) <= maxCopied {
		room += len(data)
	}
	if len(s.buf)+room > cap(s.buf) || len(s.vector) > maxVector {
		s.flush()
	}
	s.addHeader(h, len(data))
	if len(data) <= maxCopied {
		s.buf = append(s.buf, data...)
	} else {
		s.vector = append(s.vector, s.buf[s.sent:], data)
		s.sent = len(s.buf)
	}
	s.addTrailer(data)
}

// overhead is the most that a PDU has beside its data.
func (s *sender) overhead() int { return len(header{}) + digestSize + 3 + digestSize }

func (s *sender) addHeader(h *header, n int) {
	h.setDataBytes(n)
	s.buf = append(s.buf, h[:]...)
	if s.headerDigest { // of the copy, so that h needs no memory of its own
		d := digest(0, s.buf[len(s.buf)-len(h):])
		s.buf = append(s.buf, d[:]...)
	}
}

func (s *sender) addTrailer(data []byte) {
	n := len(data)
	if n == 0 {
		return
	}
	for range padding(n) {
		s.buf = append(s.buf, 0)
	}
	if s.dataDigest {
		d := digest(crc32.Update(0, castagnoli, data), s.buf[len(s.buf)-padding(n):])
		s.buf = append(s.buf, d[:]...)
	}
}

// place returns where the data of the next PDU, of at most n bytes, goes in the
// buffer: data that is read there and added by addPlaced is not copied.
func (s *sender) place(n int) []byte {
	if len(s.buf)+s.overhead()+n > cap(s.buf) || len(s.vector) > maxVector {
		s.flush()
	}
	at := len(s.buf) + len(header{})
	if s.headerDigest {
		at += digestSize
	}
	return s.buf[at : at+n : at+n]
}

// addPlaced adds a PDU whose data is the first n bytes of what place returned.
func (s *sender) addPlaced(h *header, n int) {
	s.addHeader(h, n)
	at := len(s.buf)
	s.buf = s.buf[:at+n]
	s.addTrailer(s.buf[at:])
}

// portion returns how many elements are written at once: about maxPortion bytes.
func portion(v net.Buffers) (n int) {
	for bytes := 0; n < len(v) && bytes < maxPortion; n++ {
		bytes += len(v[n])
	}
	return n
}

// flush sends what was added. After an error it drops it.
func (s *sender) flush() error {
	if len(s.buf) > s.sent {
		s.vector = append(s.vector, s.buf[s.sent:])
	}
	for rest := s.vector; len(rest) > 0 && s.err == nil; {
		n := portion(rest)
		s.began.Store(s.clock.Load())
		if n == 1 {
			_, s.err = s.to.Write(rest[0])
		} else {
			s.rest = rest[:n]
			_, s.err = s.rest.WriteTo(s.to)
		}
		s.began.Store(0)
		rest = rest[n:]
	}
	clear(s.vector)
	s.vector, s.buf, s.sent = s.vector[:0], s.buf[:0], 0
	return s.err
}
