package iscsi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync/atomic"
)

const (
	receiveBytes = 64 << 10

	// maxSmall is the longest data segment that is read into the receive buffer.
	maxSmall = 16 << 10

	// maxDataSegment is our MaxRecvDataSegmentLength.
	maxDataSegment = 256 << 10
)

var (
	errHeaderDigest = errors.New("wrong header digest")
	errDataDigest   = errors.New("wrong data digest")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A receiver reads PDUs. It belongs to one goroutine, except for its clocks.
type receiver struct {
	from   io.Reader
	before func() error // called before each read, which may wait
	clock  *atomic.Int64

	buf  []byte
	r, w int // buf[r:w] was received and not taken

	headerDigest, dataDigest bool
	left                     int // bytes of the data segment that were not taken

	heard atomic.Int64 // when something was received last
	began atomic.Int64 // when the PDU being received began; 0 between PDUs
}

func newReceiver(from io.Reader, clock *atomic.Int64, before func() error) *receiver {
	r := &receiver{from: from, before: before, clock: clock, buf: make([]byte, receiveBytes)}
	r.heard.Store(clock.Load())
	return r
}

// fill receives until at least n bytes are in the buffer, which has room for them.
func (r *receiver) fill(n int) error {
	if r.w-r.r >= n {
		return nil
	}
	if r.r == r.w {
		r.r, r.w = 0, 0
	} else if len(r.buf)-r.r < n {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	for r.w-r.r < n {
		m, err := r.read(r.buf[r.w:])
		r.w += m
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) read(p []byte) (int, error) {
	if err := r.before(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	r.heard.Store(r.clock.Load())
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, err
}

// take returns the next n bytes. They are valid until the next call of a method.
func (r *receiver) take(n int) ([]byte, error) {
	if err := r.fill(n); err != nil {
		return nil, err
	}
	r.r += n
	return r.buf[r.r-n : r.r], nil
}

// header receives the next header with its additional header segments, which are
// valid until the next call of a method. Then the data segment must be taken.
func (r *receiver) header(h *header) (ahs []byte, err error) {
	r.began.Store(0)
	if r.r == r.w {
		if err := r.fill(1); err != nil {
			return nil, err // between PDUs
		}
	}
	if r.w-r.r < len(h) {
		r.began.Store(r.clock.Load())
	}
	if err := r.fill(len(h)); err != nil {
		return nil, cut(err)
	}
	copy(h[:], r.buf[r.r:])
	r.left = h.dataBytes()
	if r.left > maxDataSegment {
		return nil, fmt.Errorf("a data segment of %d bytes", r.left)
	}
	n := len(h) + h.ahsBytes()
	all := n
	if r.headerDigest {
		all += digestSize
	}
	b, err := r.take(all)
	if err != nil {
		return nil, cut(err)
	}
	if r.headerDigest && digest(0, b[:n]) != [digestSize]byte(b[n:]) {
		return nil, errHeaderDigest
	}
	if r.w-r.r < r.left {
		r.began.CompareAndSwap(0, r.clock.Load())
	}
	return b[len(h):n], nil
}

// small returns a data segment of at most maxSmall bytes. It is valid until the next
// call of a method.
func (r *receiver) small() ([]byte, error) {
	n := r.left
	r.left = 0
	if n == 0 {
		return nil, nil
	}
	padded := n + padding(n)
	all := padded
	if r.dataDigest {
		all += digestSize
	}
	b, err := r.take(all)
	if err != nil {
		return nil, cut(err)
	}
	if r.dataDigest && digest(0, b[:padded]) != [digestSize]byte(b[padded:]) {
		return nil, errDataDigest
	}
	return b[:n], nil
}

// into receives a data segment into bufs, in order, and drops what does not fit. It
// changes bufs.
func (r *receiver) into(bufs [][]byte) error {
	n := r.left
	if n == 0 {
		return nil
	}
	sum := uint32(0)
	for r.left > 0 {
		part, err := r.part(&bufs)
		if err != nil {
			return cut(err)
		}
		if r.dataDigest {
			sum = crc32.Update(sum, castagnoli, part)
		}
		r.left -= len(part)
	}
	rest := padding(n)
	if r.dataDigest {
		rest += digestSize
	}
	b, err := r.take(rest)
	if err != nil {
		return cut(err)
	}
	if r.dataDigest && digest(sum, b[:padding(n)]) != [digestSize]byte(b[padding(n):]) {
		return errDataDigest
	}
	return nil
}

// part receives a part of a data segment into the first of bufs that has room.
func (r *receiver) part(bufs *[][]byte) ([]byte, error) {
	for len(*bufs) > 0 && len((*bufs)[0]) == 0 {
		*bufs = (*bufs)[1:]
	}
	if len(*bufs) == 0 {
		return r.take(min(r.left, maxSmall))
	}
	to := (*bufs)[0][:min(len((*bufs)[0]), r.left)]
	n := copy(to, r.buf[r.r:r.w])
	r.r += n
	if n == 0 { // directly, without the buffer
		var err error
		if n, err = r.read(to); err != nil {
			return nil, err
		}
	}
	(*bufs)[0] = (*bufs)[0][n:]
	return to[:n], nil
}

// drop receives a data segment and drops it.
func (r *receiver) drop() error { return r.into(nil) }

// digest continues the CRC32C sum with p, and returns it as it is sent.
func digest(sum uint32, p []byte) (d [digestSize]byte) {
	binary.LittleEndian.PutUint32(d[:], crc32.Update(sum, castagnoli, p))
	return d
}

// cut returns the error of a connection that ends within a PDU.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
