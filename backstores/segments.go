package backstores

import (
	"fmt"
	"io"
	"sync"
)

// Segments cuts a vector of buffers into consecutive parts, or fills them in order.
// The caller's vector does not change. Segments are pooled: call Free after use.
type Segments struct {
	Bufs [][]byte // that are not used up yet
	done int      // bytes of Bufs[0] that are used up
	part [][]byte
	one  [1][]byte
}

var segmentsPool = sync.Pool{New: func() any { return new(Segments) }}

// NewSegments returns the segments of bufs.
func NewSegments(bufs [][]byte) *Segments {
	v := segmentsPool.Get().(*Segments)
	v.Bufs, v.done = bufs, 0
	return v
}

// OneSegment returns a vector of one buffer.
func OneSegment(p []byte) *Segments {
	v := NewSegments(nil)
	v.one[0] = p
	v.Bufs = v.one[:]
	return v
}

// Free drops the buffers, which belong to the caller, and returns v to the pool.
func (v *Segments) Free() {
	v.Bufs = nil
	v.one[0] = nil
	clear(v.part)
	segmentsPool.Put(v)
}

// Next returns the next n bytes, which must exist. The vector is valid until the
// next call.
func (v *Segments) Next(n int64) [][]byte {
	clear(v.part)
	v.part = v.part[:0]
	for n > 0 {
		p := v.Bufs[0][v.done:]
		if int64(len(p)) > n {
			v.done += int(n)
			v.part = append(v.part, p[:n])
			break
		}
		v.part = append(v.part, p)
		n -= int64(len(p))
		v.Bufs, v.done = v.Bufs[1:], 0
	}
	return v.part
}

// Put copies p to the next len(p) bytes, which must exist.
func (v *Segments) Put(p []byte) {
	for len(p) > 0 {
		n := copy(v.Bufs[0][v.done:], p)
		p = p[n:]
		v.step(n)
	}
}

// Zero makes the next n bytes zeros. They must exist.
func (v *Segments) Zero(n int64) {
	for n > 0 {
		p := v.Bufs[0][v.done:]
		p = p[:min(n, int64(len(p)))]
		clear(p)
		n -= int64(len(p))
		v.step(len(p))
	}
}

// step uses up n bytes of the first buffer.
func (v *Segments) step(n int) {
	if v.done += n; v.done == len(v.Bufs[0]) {
		v.Bufs, v.done = v.Bufs[1:], 0
	}
}

// ReadAt implements [io.ReaderAt] for a store whose ReadVec does the work.
func ReadAt(s interface {
	Backstore
	VectorReader
}, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %d bytes at %d: %w", len(p), off, CheckRange(s.Size(), off, 0))
	}
	inside := p[:min(int64(len(p)), max(s.Size()-off, 0))]
	if len(inside) > 0 {
		v := OneSegment(inside)
		defer v.Free()
		if err := s.ReadVec(v.Bufs, off, 0); err != nil {
			return 0, err
		}
	}
	if len(inside) < len(p) {
		return len(inside), io.EOF
	}
	return len(p), nil
}

// Length returns the number of bytes in bufs.
func Length(bufs [][]byte) int64 {
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}
