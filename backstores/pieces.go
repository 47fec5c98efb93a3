package backstores

import (
	"fmt"
	"io"
	"sync"
)

// Pieces are a list of buffers that is used up from its start, in parts. The
// list itself is the caller's and stays as it is.
type pieces struct {
	bufs [][]byte
	done int // bytes of bufs[0]
	part [][]byte
	one  [1][]byte
}

var piecesPool = sync.Pool{New: func() any { return new(pieces) }}

func newPieces(bufs [][]byte) *pieces {
	v := piecesPool.Get().(*pieces)
	v.bufs, v.done = bufs, 0
	return v
}

// single is a vector of one buffer.
func single(p []byte) *pieces {
	v := newPieces(nil)
	v.one[0] = p
	v.bufs = v.one[:]
	return v
}

// free forgets the buffers, which are not ours to keep.
func (v *pieces) free() {
	v.bufs = nil
	v.one[0] = nil
	clear(v.part)
	piecesPool.Put(v)
}

// next returns the next n bytes. They are there, and the list is good until
// the next call.
func (v *pieces) next(n int64) [][]byte {
	clear(v.part)
	v.part = v.part[:0]
	for n > 0 {
		p := v.bufs[0][v.done:]
		if int64(len(p)) > n {
			v.done += int(n)
			v.part = append(v.part, p[:n])
			break
		}
		v.part = append(v.part, p)
		n -= int64(len(p))
		v.bufs, v.done = v.bufs[1:], 0
	}
	return v.part
}

// readAt is the ReadAt of a store whose ReadVec does the work.
func readAt(s interface {
	Backstore
	VectorReader
}, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read %d bytes at %d: %w", len(p), off, within(s.Size(), off, 0))
	}
	there := p[:min(int64(len(p)), max(s.Size()-off, 0))]
	if len(there) > 0 {
		v := single(there)
		defer v.free()
		if err := s.ReadVec(v.bufs, off, 0); err != nil {
			return 0, err
		}
	}
	if len(there) < len(p) {
		return len(there), io.EOF
	}
	return len(p), nil
}
